"""The scores of a window against the labels that have come for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from homes import go_live
from versions import training_rows

from prodml_magics.actions.drift import drift
from prodml_magics.actions.kept import Asked
from prodml_magics.actions.labels import labels
from prodml_magics.actions.scores import calibration_of_window
from prodml_magics.actions.workspace import Workspace
from prodml_magics.storage.labels import SERVED
from prodml_magics.storage.lake import LakeRows
from prodml_magics.wire.requests import Drift, Labels

ROWS = 400


@pytest.fixture
def served(workspace: Workspace) -> Workspace:
    """cancer@1 live, with training rows as requests of the last hour and scores that are spread evenly."""
    go_live(workspace, 1)
    names = [column.name for column in workspace.contract("cancer", 1).columns]
    rng = np.random.default_rng(0)
    rows = training_rows()[rng.integers(0, len(training_rows()), ROWS)].astype(float)
    received = [datetime.now(UTC) - timedelta(minutes=50) + timedelta(seconds=i) for i in range(ROWS)]
    score = (np.arange(ROWS) % 100 + 0.5) / 100
    outputs = {
        "label": pa.array((score > 0.5).astype(int).astype(str)),
        "probability_0": pa.array(1 - score),
        "probability_1": pa.array(score),
    }
    table = pa.table(
        {
            "date": [at.date().isoformat() for at in received],
            "writer": ["w"] * ROWS,
            "sequence": list(range(ROWS)),
            "request_id": [str(i) for i in range(ROWS)],
            "row": pa.array([0] * ROWS, pa.int32()),
            "received_at": pa.array(received, pa.timestamp("us", tz="UTC")),
            "arm": ["live"] * ROWS,
            "version": pa.array([1] * ROWS, pa.int32()),
            "status": pa.array([200] * ROWS, pa.int32()),
            "inputs": pa.StructArray.from_arrays([pa.array(values) for values in rows.T], names=names),
            "outputs": pa.StructArray.from_arrays(list(outputs.values()), names=list(outputs)),
        }
    )
    workspace.lake.append("cancer", [LakeRows("w", table, ROWS)])
    return workspace


def _label(workspace: Workspace, chance: np.ndarray) -> None:
    truth = np.random.default_rng(1).random(len(chance)) < chance
    frame = pl.DataFrame({"request_id": [str(i) for i in range(len(chance))], "label": truth.astype(int)})
    assert labels(workspace, Labels(model="cancer", frame=frame)).record.matched == len(chance)


def test_without_labels_scores_are_not_spoken_of(served: Workspace) -> None:
    found = drift(served, Drift(model="cancer", window="1h", columns=(_first(served),)))
    assert (found.record.calibration, found.record.verdict) == ({}, "no drift")
    assert "scores" not in str(found)


def test_scores_that_come_true_are_no_drift(served: Workspace) -> None:
    _label(served, (np.arange(ROWS) % 100 + 0.5) / 100)
    found = drift(served, Drift(model="cancer", window="1h", columns=(_first(served),)))
    assert (found.record.verdict, found.record.calibration["rows"], found.record.calibration["drifted"]) == (
        "no drift",
        ROWS,
        False,
    )
    assert f"scores: {ROWS} labelled rows: scores lie 0.0" in str(found)


def test_scores_that_no_longer_come_true_are_drift_of_their_own(served: Workspace) -> None:
    _label(served, np.full(ROWS, 0.1))
    found = drift(served, Drift(model="cancer", window="1h", columns=(_first(served),)))
    assert (found.record.drifted, found.record.verdict) == ((), "drift")
    assert str(found).startswith("cancer: none of 1 columns has drifted, but the scores no longer come true")
    assert "too high on average, above the tolerance of 0.05" in found._repr_html_()


def test_a_few_labels_are_too_few(served: Workspace) -> None:
    _label(served, np.full(10, 0.5))
    found = drift(served, Drift(model="cancer", window="1h", columns=(_first(served),)))
    assert found.record.calibration["reason"].startswith("10 rows with a label are too few")
    assert (found.record.calibration["effect"], found.record.verdict) == (None, "no drift")


def _first(workspace: Workspace) -> str:
    return workspace.contract("cancer", 1).columns[0].name


def test_of_a_window_that_is_read_from_sketches_scores_are_told_all_the_same(served: Workspace) -> None:
    since = datetime.now(UTC) - timedelta(hours=1)
    asked = Asked("cancer", SERVED, since, None)
    assert calibration_of_window(served, asked, 1, 0.05) == {}
    _label(served, np.full(ROWS, 0.1))
    found = drift(served, Drift(model="cancer", window="1h", columns=(_first(served),)))
    assert calibration_of_window(served, asked, 1, 0.05) == found.record.calibration != {}
    assert calibration_of_window(served, asked._replace(until=since), 1, 0.05) == {}
