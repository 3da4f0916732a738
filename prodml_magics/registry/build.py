"""A model made ready for its registration: converted, proved, described. Nothing is written anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from prodml_magics.contract.encode import encode_columns, output_columns
from prodml_magics.contract.infer import infer_columns
from prodml_magics.contract.schema import Column, Contract
from prodml_magics.errors import InvalidInput
from prodml_magics.inference.session import Session, open_session
from prodml_magics.registry.converters import ChildConverter, family_of
from prodml_magics.registry.files import load_model
from prodml_magics.registry.frames import columns_of, target_of
from prodml_magics.registry.lineage import Lineage, capture
from prodml_magics.registry.metrics import permutation_importance, test_metrics
from prodml_magics.registry.parity import Parity
from prodml_magics.registry.prove import Converter, convert_exactly
from prodml_magics.registry.ready import prove_file
from prodml_magics.registry.reference import Reference, check_columns
from prodml_magics.registry.roles import Role, check_fitted, class_labels, role_of, unwrap
from prodml_magics.registry.samples import make_samples

__all__ = ["Candidate", "Task", "build"]

Task = Literal["auto", "classification", "regression", "other"]
_TASKS: dict[Role, Literal["classification", "regression", "other"]] = {
    "classifier": "classification",
    "regressor": "regression",
    "outlier": "other",
    "clusterer": "other",
}


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a version before it has a number."""

    model: bytes
    contract: Contract
    parity: Parity
    metrics: dict[str, float]
    importance: dict[str, float]
    lineage: Lineage
    samples: bytes
    """``samples.json``; empty when no rows were given."""
    train_columns: dict[str, np.ndarray]
    """Training rows by column, for the profile of the inputs; empty without training rows."""
    train_outputs: dict[str, np.ndarray]
    """The answers to the training rows, named as `contract.encode.output_columns` names them."""
    warnings: tuple[str, ...]


class _Data(msgspec.Struct, frozen=True):
    """Columns and target of the training or the test rows."""

    columns: dict[str, np.ndarray]
    target: np.ndarray | None
    rows: Any


def build(
    model: Any,
    *,
    train: Sequence[Any] | None = None,
    test: Sequence[Any] | None = None,
    task: Task = "auto",
    trust: bool = False,
    cells: Sequence[str] = (),
    root: Path = Path(),
    converter: Converter | None = None,
) -> Candidate:
    """Convert `model`, prove that it answers the same, and measure it.

    `model` is a fitted scikit-learn estimator or pipeline, a path to an ``.onnx`` file, or with `trust` a path to a
    ``.joblib`` or ``.pkl`` file. `train` and `test` are (X,) or (X, y), X a numpy, pandas or polars table [rows, columns].
    `converter` may be a `ChildConverter` that is ready already; else one is started, and ended, here.

    Raises `InvalidInput` for unusable data or an unfitted model, `Unsupported` for what ONNX cannot express, and
    `GateRefused` when the converted file does not answer as the model does.
    """
    loaded = load_model(model, trust=trust) if isinstance(model, str | Path) else model
    if isinstance(loaded, bytes):
        return _build_file(loaded, train, test, task, cells, root)
    family_of(loaded)
    with _opened(converter) as ready:
        check_fitted(loaded)
        role = role_of(loaded)
        _check_task(task, _TASKS[role])
        training, testing = _read(loaded, train, "train"), _read(loaded, test, "test")
        if training is None:
            raise InvalidInput("the training rows are needed for the contract and the profile; add --train X y")
        columns = infer_columns(training.columns)
        draft = _draft(unwrap(loaded), role, columns)
        reference = Reference(loaded, role, columns, training.rows)
        proved = convert_exactly(ready, draft, reference, training.columns, testing.columns if testing else None)
    encoded = encode_columns(proved.contract, training.columns)
    held_out = encode_columns(proved.contract, testing.columns) if testing else None
    session = open_session(proved.model, device="cpu")
    metrics, importance = _measure(session, proved.contract, held_out, testing)
    return Candidate(
        model=proved.model,
        contract=proved.contract,
        parity=proved.parity,
        metrics=metrics,
        importance=importance,
        lineage=capture(cells, training.columns, testing.columns if testing else None, root),
        samples=make_samples(session, held_out or encoded),
        train_columns=training.columns,
        train_outputs=output_columns(proved.contract, session.run(encoded)),
        warnings=(*_warnings(training, testing), *proved.warnings),
    )


def _opened(converter: Converter | None) -> AbstractContextManager[Converter]:
    return ChildConverter() if converter is None else nullcontext(converter)


def _build_file(
    file: bytes, train: Sequence[Any] | None, test: Sequence[Any] | None, task: Task, cells: Sequence[str], root: Path
) -> Candidate:
    """A ready ``.onnx`` file: no reference to compare with, so that it is held to agree with itself."""
    training, testing = _read(None, train, "train"), _read(None, test, "test")
    proved = prove_file(file, training.columns if training else None, testing.columns if testing else None)
    contract = proved.contract if task == "auto" else msgspec.structs.replace(proved.contract, task=task)
    session = open_session(proved.model, device="cpu")
    metrics, importance = _measure(session, contract, proved.test, testing)
    outputs = session.run(proved.train) if proved.train else {}
    rows = proved.test or proved.train
    return Candidate(
        model=proved.model,
        contract=contract,
        parity=proved.parity,
        metrics=metrics,
        importance=importance,
        lineage=capture(cells, training.columns if training else None, testing.columns if testing else None, root),
        samples=make_samples(session, rows) if rows else b"",
        train_columns=training.columns if training else {},
        train_outputs=output_columns(contract, outputs) if outputs else {},
        warnings=(*_warnings(training, testing), *proved.warnings),
    )


def _read(model: Any, pair: Sequence[Any] | None, where: str) -> _Data | None:
    """Columns and target of (X,) or (X, y), checked against the columns that the model was fitted on."""
    if pair is None or len(pair) == 0:
        return None
    if len(pair) > 2:
        raise InvalidInput(f"{where} is {len(pair)} things; give X, or X and y")
    names = getattr(model, "feature_names_in_", None)
    columns = columns_of(pair[0], names)
    if model is not None:
        check_columns(model, list(columns), where)
    target = target_of(pair[1]) if len(pair) == 2 else None
    rows = len(next(iter(columns.values())))
    if target is not None and len(target) != rows:
        raise InvalidInput(f"{where} has {rows} rows in X but {len(target)} in y; give one target per row")
    return _Data(columns, target, pair[0])


def _check_task(task: Task, actual: str) -> None:
    if task not in ("auto", actual):
        raise InvalidInput(f"the model does {actual}, not {task}; leave --task out, or give {actual}")


def _draft(model: Any, role: Role, columns: tuple[Column, ...]) -> Contract:
    """The contract without its tensors."""
    classes = class_labels(model) if role == "classifier" else ()
    return Contract(task=_TASKS[role], columns=columns, inputs=(), outputs=(), classes=classes)


def _measure(
    session: Session, contract: Contract, tensors: Mapping[str, np.ndarray] | None, data: _Data | None
) -> tuple[dict[str, float], dict[str, float]]:
    """Metrics and importance on the test rows; nothing without rows and target."""
    if tensors is None or data is None or data.target is None:
        return {}, {}
    metrics = test_metrics(contract, session.run(tensors), data.target)
    return metrics, permutation_importance(session, contract, tensors, data.target)


def _warnings(training: _Data | None, testing: _Data | None) -> list[str]:
    found = []
    if training is None:
        found.append("no training rows were given: drift cannot be measured until a version with them is registered")
    if testing is None or testing.target is None:
        found.append("no test rows with a target were given: there are no metrics and no importance of columns")
    return found
