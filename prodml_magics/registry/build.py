"""A model made ready for its registration: converted, proved, described. Nothing is written anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
import numpy as np

from prodml_magics.contract.codes import feeds_of
from prodml_magics.contract.encode import encode_columns, output_columns
from prodml_magics.contract.infer import infer_columns
from prodml_magics.contract.schema import Column, Contract
from prodml_magics.errors import GateRefused, InvalidInput, Unsupported
from prodml_magics.inference.fed import fed
from prodml_magics.inference.runner import Runner
from prodml_magics.inference.session import open_session
from prodml_magics.registry.callables import CallableReference, callable_task, is_callable_model
from prodml_magics.registry.converters import Family, family_of, shared_converter
from prodml_magics.registry.files import load_model
from prodml_magics.registry.frames import columns_of, target_of, units_of
from prodml_magics.registry.layout import wire_inputs
from prodml_magics.registry.lineage import Lineage, capture
from prodml_magics.registry.metrics import permutation_importance, test_metrics
from prodml_magics.registry.narrow import check_narrow
from prodml_magics.registry.networks import NetworkRows, described_network, network_rows, prove_network
from prodml_magics.registry.parity import Parity
from prodml_magics.registry.prove import Converter, Proved, convert_exactly
from prodml_magics.registry.python import prove_python
from prodml_magics.registry.ready import prove_file
from prodml_magics.registry.reference import Reference, check_columns
from prodml_magics.registry.roles import Role, check_fitted, class_labels, role_of, unwrap
from prodml_magics.registry.samples import make_samples
from prodml_magics.wire.routes import Flavor

__all__ = ["Candidate", "Observer", "Progress", "Task", "build", "unseen"]

Progress = Callable[[str], None]
"""Told the name of each step when it begins."""


def unseen(step: str) -> None:
    """Progress that nobody follows."""


class Observer(Protocol):
    """Told of rows and answers as soon as they are known, and before it is known whether they become a version."""

    def rows(self, columns: Mapping[str, np.ndarray]) -> None:
        """The training rows, by column; of several tellings the latest counts."""

    def answers(self, contract: Contract, columns: Mapping[str, np.ndarray]) -> None:
        """What the model, as proved, answers to them."""


class _Nobody:
    """Who is told when nobody is."""

    def rows(self, columns: Mapping[str, np.ndarray]) -> None:
        """Not kept."""

    def answers(self, contract: Contract, columns: Mapping[str, np.ndarray]) -> None:
        """Not kept."""


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
    flavor: Flavor = "onnx"
    contract: Contract
    parity: Parity
    metrics: dict[str, float]
    importance: dict[str, float]
    lineage: Lineage
    samples: bytes
    """``samples.json``; empty when no rows were given."""
    foreign: bool = False
    """Whether it is a file that somebody else made: it then keeps a process of its own until it has been live."""
    train_columns: dict[str, np.ndarray]
    """Training rows by column, for the profile of the inputs; empty without training rows."""
    train_outputs: dict[str, np.ndarray]
    """The answers to the training rows, named as `contract.encode.output_columns` names them."""
    warnings: tuple[str, ...]


class _Given(NamedTuple):
    """What the user gave beside the model."""

    train: Sequence[Any] | None
    test: Sequence[Any] | None
    task: Task
    trust: bool
    cells: Sequence[str]
    root: Path
    progress: Progress
    observer: Observer


class _Data(msgspec.Struct, frozen=True):
    """Columns and target of the training or the test rows."""

    columns: dict[str, np.ndarray]
    target: np.ndarray | None
    rows: Any
    array: np.ndarray | None = None
    """The rows of a model without named columns, [rows, …]."""

    def tensors(self, contract: Contract) -> dict[str, np.ndarray]:
        """The wire tensors of the rows."""
        return NetworkRows(self.columns, self.array).tensors(contract)

    def lineage(self) -> dict[str, np.ndarray]:
        """What fingerprints are taken of."""
        return self.columns if self.array is None else {"input": self.array}


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
    progress: Progress = unseen,
    observer: Observer | None = None,
) -> Candidate:
    """Convert `model`, prove that it answers the same, and measure it.

    `model` is a fitted estimator or pipeline, or a network, of a family in `converters.families`, a path to an ``.onnx`` file,
    or with `trust` a path to a ``.joblib`` or ``.pkl`` file. `train` and `test` are (X,) or (X, y), X a numpy, pandas or polars
    table [rows, columns], and for networks also an array [rows, …].
    With `trust`, what ONNX cannot express exactly, and a plain function over frames, is kept as Python, to be answered for by a
    process of its own. `converter` is that of this process, `converters.shared_converter`, unless one is given.
    `progress` is told what is begun, and `observer` of the training rows and the answers to them when these are known.

    Raises `InvalidInput` for unusable data or an unfitted model, `Unsupported` for what ONNX cannot express, and
    `GateRefused` when the converted file does not answer as the model does.
    """
    loaded = load_model(model, trust=trust) if isinstance(model, str | Path) else model
    given = _Given(train, test, task, trust, cells, root, progress, observer or _Nobody())
    progress("converting and proving")
    if isinstance(loaded, bytes):
        return _build_file(loaded, given)
    try:
        family = family_of(loaded)
    except Unsupported as error:
        return _build_unknown(loaded, error, given)
    converter = converter or shared_converter()
    converter.start()
    return _build_network(loaded, family, given, converter) if family.network else _build_estimator(loaded, given, converter)


def _build_estimator(model: Any, given: _Given, converter: Converter) -> Candidate:
    """A model of a family that is converted, or kept as Python where it is trusted and has no exact form in ONNX."""
    reference, draft, training, testing = _described(model, given)
    columns = training.columns, testing.columns if testing else None
    try:
        proved = convert_exactly(converter, draft, reference, *columns)
    except (GateRefused, Unsupported) as error:
        if not given.trust:
            raise type(error)(f"{error}, or add --trust to serve it as Python") from error
        return _build_python(reference, draft, training, testing, str(error), given)
    check_narrow(reference, proved.contract, training.columns, training.rows)
    session = fed(open_session(proved.model, device="cpu"), feeds_of(proved.contract))
    return _candidate(proved, "onnx", session, training, testing, given)


def _build_network(model: Any, family: Family, given: _Given, converter: Converter) -> Candidate:
    """A function of one array, whose training rows may have any number of axes."""
    training, testing = _training(_read_network(given.train, "train"), given), _read_network(given.test, "test")
    rows = NetworkRows(training.columns, training.array)
    reference, draft, notes = described_network(model, family, rows, training.target, given.task)
    held_out = NetworkRows(testing.columns, testing.array) if testing else None
    proved = prove_network(converter, draft, reference, rows, held_out)
    session = open_session(proved.model, device="cpu")
    return _candidate(proved._replace(warnings=notes), "onnx", session, training, testing, given)


def _read_network(pair: Sequence[Any] | None, where: str) -> _Data | None:
    """As `_read` does, except that rows may be one array without names."""
    if not pair or hasattr(pair[0], "columns"):
        return _read(None, pair, where)
    rows = network_rows(pair[0], columns_of)
    if rows.array is None:
        return _read(None, pair, where)
    target = target_of(pair[1]) if len(pair) == 2 else None
    if target is not None and len(target) != len(rows.array):
        raise InvalidInput(f"{where} has {len(rows.array)} rows in X but {len(target)} in y; give one target per row")
    return _Data({}, target, pair[0], rows.array)


def _described(model: Any, given: _Given) -> tuple[Reference, Contract, _Data, _Data | None]:
    """An estimator beside its draft of a contract and its rows."""
    check_fitted(model)
    role = role_of(model)
    _check_task(given.task, _TASKS[role])
    training, testing = _training(_read(model, given.train, "train"), given), _read(model, given.test, "test")
    columns = infer_columns(training.columns, units_of(training.rows))
    return Reference(model, role, columns, training.rows), _draft(unwrap(model), role, columns), training, testing


def _training(training: _Data | None, given: _Given) -> _Data:
    if training is None:
        raise InvalidInput("the training rows are needed for the contract and the profile; add --train X y")
    given.observer.rows(training.columns)
    return training


def _build_unknown(model: Any, error: Unsupported, given: _Given) -> Candidate:
    """A model of no family that is converted: an estimator of another library, or a function; only when it is trusted."""
    if not is_callable_model(model):
        raise error
    if not given.trust:
        raise Unsupported(f"{error}, and any other Python with --trust") from error
    if hasattr(model, "__sklearn_tags__"):
        return _build_python(*_described(model, given), str(error), given)
    training, testing = _training(_read(None, given.train, "train"), given), _read(None, given.test, "test")
    return _build_python(*_described_function(model, training, given.task), training, testing, "", given)


def _described_function(model: Any, training: _Data, task: Task) -> tuple[CallableReference, Contract]:
    """A function beside its draft of a contract, which rests on what it answers to the training rows."""
    columns = infer_columns(training.columns, units_of(training.rows))
    draft = Contract(task="other", columns=columns, inputs=wire_inputs(columns, "FP64"), outputs=())
    tensors = encode_columns(draft, training.columns)
    asked = CallableReference(model, "other", columns, training.rows)
    try:
        answer = asked.ask(asked.table(draft, tensors))
    except Exception as error:  # whatever a user's function raises is the reason to give
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
        raise InvalidInput(
            f"the model itself fails on the training rows: {line}; it gets a frame and returns one value a row"
        ) from error
    known = callable_task(answer, task)
    reference = CallableReference(model, known, columns, training.rows)
    outputs = reference.answer(draft, tensors)
    classes = tuple(sorted(set(outputs["label"].tolist()))) if known == "classification" and "label" in outputs else ()
    return reference, msgspec.structs.replace(draft, task=known, classes=classes, inputs=())


def _build_python(
    reference: Reference | CallableReference,
    draft: Contract,
    training: _Data,
    testing: _Data | None,
    reason: str,
    given: _Given,
) -> Candidate:
    kept = prove_python(draft, reference, training.columns, testing.columns if testing else None, reason)
    try:
        return _candidate(kept.proved, "python", kept.session, training, testing, given)
    finally:
        kept.session.close()


def _candidate(
    proved: Proved, flavor: Flavor, session: Runner, training: _Data, testing: _Data | None, given: _Given
) -> Candidate:
    """What is proved, measured on its rows."""
    given.progress("measuring")
    encoded, held_out = proved.encoded or (
        training.tensors(proved.contract),
        testing.tensors(proved.contract) if testing else None,
    )
    answers = output_columns(proved.contract, session.run(encoded))
    given.observer.answers(proved.contract, answers)
    metrics, importance = _measure(session, proved.contract, held_out, testing)
    return Candidate(
        model=proved.model,
        flavor=flavor,
        contract=proved.contract,
        parity=proved.parity,
        metrics=metrics,
        importance=importance,
        lineage=capture(given.cells, training.lineage(), testing.lineage() if testing else None, given.root),
        samples=make_samples(session, held_out or encoded),
        train_columns=training.columns,
        train_outputs=answers,
        warnings=(*_warnings(training, testing), *proved.warnings),
    )


def _build_file(file: bytes, given: _Given) -> Candidate:
    """A ready ``.onnx`` file: no reference to compare with, so that it is held to agree with itself."""
    training, testing = _read(None, given.train, "train"), _read(None, given.test, "test")
    given.observer.rows(training.columns if training else {})
    proved = prove_file(file, training.columns if training else None, testing.columns if testing else None)
    contract = proved.contract if given.task == "auto" else msgspec.structs.replace(proved.contract, task=given.task)
    session = open_session(proved.model, device="cpu")
    answers = output_columns(contract, session.run(proved.train)) if proved.train else {}
    given.observer.answers(contract, answers)
    metrics, importance = _measure(session, contract, proved.test, testing)
    rows = proved.test or proved.train
    return Candidate(
        foreign=True,
        model=proved.model,
        contract=contract,
        parity=proved.parity,
        metrics=metrics,
        importance=importance,
        lineage=capture(given.cells, training.columns if training else None, testing.columns if testing else None, given.root),
        samples=make_samples(session, rows) if rows else b"",
        train_columns=training.columns if training else {},
        train_outputs=answers,
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
    session: Runner, contract: Contract, tensors: Mapping[str, np.ndarray] | None, data: _Data | None
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
