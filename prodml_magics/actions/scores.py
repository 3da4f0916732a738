"""Whether a classifier's scores come true, from the labels that have come for a window."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from prodml_magics.actions.kept import Asked
from prodml_magics.actions.labels import class_texts
from prodml_magics.actions.workspace import Workspace
from prodml_magics.storage.labels import LabelStore, with_labels

if TYPE_CHECKING:
    import polars as pl

__all__ = ["calibration_of", "calibration_of_window"]


def calibration_of(workspace: Workspace, model: str, version: int, rows: pl.DataFrame, alpha: float) -> dict[str, Any]:
    """Of the rows that `version` answered and that have a label: `ScoreCalibration` as plain values, empty where there is nothing.

    Of two classes the score of the second is looked at, of more that of the likeliest.
    """
    contract = workspace.contract(model, version)
    names = [f"probability_{each}" for each in contract.classes]
    if contract.task != "classification" or len(names) < 2 or "outputs" not in rows.columns:
        return {}
    answered = rows.filter(rows["version"] == version)
    known = {field.name for field in answered.schema["outputs"].fields}  # type: ignore[attr-defined]
    labels = LabelStore(workspace.lake).frame(model) if set(names) <= known else None
    found = with_labels(answered, labels)
    if labels is None or found.is_empty():
        return {}
    from prodml_magics.stats.drift.score_calibration import score_calibration

    texts = class_texts(contract)
    scores = np.column_stack([found["outputs"].struct.field(name).cast(float).to_numpy() for name in names])
    truth = found["label"].cast(str).to_numpy()
    classes = np.array([texts[str(each)] for each in contract.classes], dtype=object)
    of_rows = np.ones(len(scores), np.intp) if len(names) == 2 else np.nan_to_num(scores, nan=-1.0).argmax(axis=1)
    made = score_calibration(scores[np.arange(len(scores)), of_rows], truth == classes[of_rows], alpha=alpha)
    plain = {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in made._asdict().items()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}


def calibration_of_window(workspace: Workspace, asked: Asked, version: int, alpha: float) -> dict[str, Any]:
    """The same of a window whose rows are not at hand: of all of them only those are read that may have a label."""
    labels = LabelStore(workspace.lake).frame(asked.model)
    rows = workspace.lake.scan(asked.model, arms=asked.arms, versions=[version], since=asked.since, until=asked.until)
    if labels is None or rows is None:
        return {}
    labelled = rows.join(labels.lazy().select("request_id").unique(), on="request_id", how="semi").collect()
    return calibration_of(workspace, asked.model, version, labelled, alpha)
