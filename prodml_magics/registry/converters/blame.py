"""Which step of a pipeline is at fault: each is converted alone and fed scikit-learn's own input of that step."""

from __future__ import annotations

from typing import Any

import numpy as np

from prodml_magics.contract.infer import infer_columns
from prodml_magics.errors import ProdmlError, first_line
from prodml_magics.inference.session import open_session
from prodml_magics.registry.converters.sklearn import to_graph
from prodml_magics.registry.frames import columns_of
from prodml_magics.registry.roles import unwrap

__all__ = ["faults_of"]

_SAME = 1e-5
"""Largest difference, relative to the spread of a value, that still counts as the same."""


def faults_of(model: Any, rows: Any) -> list[str]:
    """One line for each step that is wrong alone, converted in float32; empty when every step alone is right.

    All steps right alone and the whole wrong means that rounding in front of a threshold is at fault.
    """
    model = unwrap(model)
    steps = getattr(model, "steps", [(type(model).__name__, model)])
    lines = []
    for name, step in steps:
        if step is None or step == "passthrough":
            continue
        fault = _fault(step, rows)
        if fault:
            lines.append(f"step {name!r} ({type(step).__name__}) alone {fault}")
        if hasattr(step, "transform"):
            rows = step.transform(rows)
    return lines


def _fault(step: Any, rows: Any) -> str:
    """What is wrong with `step` alone; rows that are no table of numbers are not judged."""
    try:
        columns = columns_of(rows, allow_missing=True)
        inferred = infer_columns(columns)
        if any(column.kind == "categorical" for column in inferred):
            return ""
        session = open_session(to_graph(step, inferred, "FP32").SerializeToString(), device="cpu")
    except ProdmlError as error:
        return f"cannot be converted: {error}"
    table = np.column_stack([np.asarray(values, np.float32) for values in columns.values()])
    feeds = {"input": table} if session.input_names == ("input",) else _one_by_one(session.input_names, table)
    try:
        given = session.run(feeds)
    except Exception as error:  # onnxruntime's exceptions have no common base
        return f"fails in onnxruntime: {first_line(error, 120)}"
    return _difference(step, table.astype(np.float64), list(given.values()))


def _one_by_one(names: tuple[str, ...], table: np.ndarray) -> dict[str, np.ndarray]:
    return {name: table[:, [place]] for place, name in enumerate(names)}


def _difference(step: Any, table: np.ndarray, given: list[np.ndarray]) -> str:
    answer = step.transform if hasattr(step, "transform") else getattr(step, "predict_proba", step.predict)
    wanted = np.asarray(answer(table), np.float64).reshape(len(table), -1)
    found = np.asarray(given[-1], np.float64).reshape(len(table), -1) if given[-1].dtype.kind in "fiu" else None
    if found is None:
        return ""
    if found.shape != wanted.shape:
        return f"answers with {found.shape[1]} columns where scikit-learn has {wanted.shape[1]}"
    if not np.array_equal(np.isnan(found), np.isnan(wanted)):
        return "differs in which values are missing"
    largest = float(np.nanmax(np.abs(found - wanted) / np.maximum(np.nanstd(wanted), np.abs(wanted) + 1e-12)))
    return f"differs by up to {largest:.2g}" if largest > _SAME else ""
