"""Labels: appended, joined when they are read, the latest wins; what cannot be meant is one line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from prodml_magics.actions.drain import Draining
from prodml_magics.actions.labels import labels
from prodml_magics.actions.workspace import Workspace
from prodml_magics.clock import ManualClock
from prodml_magics.errors import InvalidInput, NotFound
from prodml_magics.storage.arrays import to_array
from prodml_magics.storage.blocks import Block
from prodml_magics.storage.labels import SERVED, LabelStore, with_labels
from prodml_magics.storage.spool import SpoolWriter
from prodml_magics.wire.requests import Labels


def answer(workspace: Workspace, *requests: tuple[str, int], arm: str = "live", mirrors: list[int] | None = None) -> None:
    """Requests by id and rows, answered now and drained into the lake."""
    writer = SpoolWriter(workspace.home / "spool")
    rows = sum(count for _, count in requests)
    writer.append(
        Block(
            model="cancer",
            version=1,
            arm=arm,  # type: ignore[arg-type]
            sequence=writer.sequence,
            request_ids=[name for name, _ in requests],
            request_rows=[count for _, count in requests],
            received_at=[workspace.clock.now().timestamp()] * len(requests),
            latency_ms=[1.0] * len(requests),
            run_ms=1.0,
            status=[200] * len(requests),
            keys=[""] * len(requests),
            inputs={"input": to_array(np.zeros((rows, 30), np.float32))},
            outputs={
                "label": to_array(np.ones(rows, np.int64)),
                "probabilities": to_array(np.full((rows, 2), 0.5, np.float32)),
            },
            mirrors=mirrors,
        )
    )
    writer.close()
    Draining(workspace).drain()
    clock = workspace.clock
    assert isinstance(clock, ManualClock)
    clock.advance(1)


def give(workspace: Workspace, frame: Any) -> Any:
    result = labels(workspace, Labels(model="cancer", frame=frame))
    clock = workspace.clock
    assert isinstance(clock, ManualClock)
    clock.advance(1)
    return result


def joined(workspace: Workspace) -> dict[tuple[str, int], str]:
    rows = workspace.lake.rows("cancer", arms=SERVED, statuses=None)
    found = with_labels(rows, LabelStore(workspace.lake).frame("cancer"))
    return {(each["request_id"], each["row"]): each["label"] for each in found.iter_rows(named=True)}


def test_labels_are_joined_by_request_and_row_and_the_latest_wins(home: Workspace) -> None:
    answer(home, ("a", 2), ("b", 1))
    first = give(home, {"request_id": ["a", "a", "zz"], "row": [0, 1, 0], "label": [1, 0, 1]})
    assert (first.taken, first.matched, first.unknown, first.ambiguous, first.corrected) == (3, 2, 1, 0, 0)
    assert "1 of 3 labels are of no request of cancer that is known (zz); the controller is down" in str(first)
    second = give(home, pl.DataFrame({"request_id": ["a", "b"], "label": ["0", "1"]}))
    assert (second.matched, second.corrected) == (2, 1)
    assert joined(home) == {("a", 0): "0", ("a", 1): "0", ("b", 0): "1"}
    history = LabelStore(home.lake).frame("cancer")
    assert history is not None and history.height == 5
    counted = labels(home, Labels(model="cancer"))
    assert (counted.served, counted.labelled) == (3, 3)
    assert "3 of 3 answered rows have a label" in str(counted)


def test_a_label_that_was_known_later_wins_however_late_the_other_is_sent(home: Workspace) -> None:
    answer(home, ("a", 1))
    now = home.clock.now()
    give(home, {"request_id": ["a"], "label": [1], "labelled_at": [now]})
    give(home, {"request_id": ["a"], "label": [0], "labelled_at": [(now - timedelta(hours=1)).isoformat()]})
    assert joined(home) == {("a", 0): "1"}
    give(home, {"request_id": ["a", "a"], "label": [1, 0], "labelled_at": [now, now]})  # the last of one moment
    assert joined(home) == {("a", 0): "0"}


def test_an_id_that_several_requests_bear_goes_to_the_newest_that_had_come(home: Workspace) -> None:
    answer(home, ("x", 1))
    assert give(home, {"request_id": ["x"], "label": [0]}).ambiguous == 0
    answer(home, ("x", 1))
    second = give(home, {"request_id": ["x"], "label": [1]})
    assert (second.matched, second.ambiguous) == (1, 1)
    assert "1 labels have an id that several requests bear" in second.warnings()[0]
    rows = home.lake.rows("cancer", statuses=None)
    found = with_labels(rows, LabelStore(home.lake).frame("cancer")).sort("received_at")
    assert found["label"].to_list() == ["0", "1"]


def test_the_copy_that_a_shadow_ran_makes_no_id_ambiguous(home: Workspace) -> None:
    answer(home, ("a", 1))
    answer(home, ("a", 1), arm="shadow", mirrors=[0])
    assert give(home, {"request_id": ["a"], "label": [1]}).ambiguous == 0


@pytest.mark.parametrize("label", [[1, 0], [1.0, 0.0], [True, False], ["1", "0"]], ids=str)
def test_a_class_is_the_same_in_every_dtype_and_frame(home: Workspace, tmp_path: Path, label: list[Any]) -> None:
    answer(home, ("a", 1), ("b", 1))
    columns = {"request_id": ["a", "b"], "label": label}
    path = tmp_path / "labels.parquet"
    pl.DataFrame(columns).write_parquet(path)
    for frame in (pl.DataFrame(columns), pd.DataFrame(columns), columns, path, str(path)):
        give(home, frame)
        assert joined(home) == {("a", 0): "1", ("b", 0): "0"}


def test_times_are_read_from_pandas_with_and_without_a_zone(home: Workspace) -> None:
    answer(home, ("a", 1))
    at = pd.Timestamp(home.clock.now())
    for value in (at, at.tz_localize(None), at.tz_convert("Europe/Oslo")):
        give(home, pd.DataFrame({"request_id": ["a"], "label": [1], "labelled_at": [value]}))
    history = LabelStore(home.lake).frame("cancer")
    assert history is not None and history["labelled_at"].unique().to_list() == [at.to_pydatetime().astimezone(UTC)]


WRONG: list[tuple[Any, str]] = [
    ({"id": ["a"], "label": [1]}, "the label frame has no column request_id, only id, label; give request_id and label"),
    ({"request_id": ["a"]}, "the label frame has no column label"),
    ({"request_id": ["a"], "label": [1], "weight": ["x"]}, "weight in row 0 is 'x'; columns beside request_id, label"),
    ({"request_id": ["a"], "revenue": [float("inf")]}, "revenue in row 0 is inf; columns beside"),
    ({"request_id": ["a"], "label": [1], "re venue": [2]}, "the label frame has a column 're venue'; a metric is named by"),
    ({"request_id": [], "label": []}, "the label frame has no rows"),
    ({"request_id": ["a", None], "label": [1, 1]}, "request_id in row 1 is None"),
    ({"request_id": [1.5], "label": [1]}, "request_id in row 0 is 1.5"),
    ({"request_id": ["a"], "label": [None]}, "label in row 0 is missing; leave out rows that have no label yet"),
    ({"request_id": ["a"], "label": [float("nan")]}, "label in row 0 is missing"),
    ({"request_id": ["a"], "label": ["B"]}, "no label is a class of cancer, the first is 'B'; classes are 0, 1"),
    ({"request_id": ["a"], "label": [1], "row": [-1]}, "row in row 0 is -1; give the place of the row in its request"),
    ({"request_id": ["a"], "label": [1], "row": [0.5]}, "row in row 0 is 0.5"),
    ({"request_id": ["a"], "label": [1], "labelled_at": ["soon"]}, "labelled_at in row 0 is 'soon'; give a time such as"),
    ({"request_id": ["a"], "label": [1], "labelled_at": [5]}, "labelled_at in row 0 is 5"),
    (
        {"request_id": ["a"], "label": [1], "labelled_at": [datetime(2999, 1, 1)]},
        "labelled_at in row 0 lies in the future (2999-01-01 00:00 UTC); give times in UTC or with a zone",
    ),
    (7, "the label frame is int; give a polars or pandas frame"),
]


@pytest.mark.parametrize(("frame", "said"), WRONG, ids=[said[:40] for _, said in WRONG])
def test_a_frame_that_cannot_be_meant_is_one_line_and_appends_nothing(home: Workspace, frame: Any, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        labels(home, Labels(model="cancer", frame=frame))
    assert said in str(caught.value) and "; " in str(caught.value) and str(caught.value).isprintable()
    assert LabelStore(home.lake).frame("cancer") is None


def test_metrics_come_beside_labels_or_after_them_and_the_latest_wins(home: Workspace) -> None:
    answer(home, ("a", 1), ("b", 1))
    give(home, {"request_id": ["a"], "label": [1]})
    first = give(home, {"request_id": ["a", "b"], "revenue": [2.5, None], "clicks": [1, 0]})
    assert (first.taken, first.matched, first.corrected) == (2, 2, 0)
    assert give(home, {"request_id": ["a"], "revenue": [3.0], "label": [0]}).corrected == 1
    assert joined(home) == {("a", 0): "0"}
    rows, known = home.lake.rows("cancer", statuses=None), LabelStore(home.lake).frame("cancer")
    paid = with_labels(rows, known, column="metric_revenue")
    assert dict(zip(paid["request_id"], paid["metric_revenue"], strict=True)) == {"a": 3.0}
    assert with_labels(rows, known, keep="first", column="metric_revenue")["metric_revenue"].to_list() == [2.5]
    assert with_labels(rows, known, column="metric_clicks").height == 2
    assert with_labels(rows, known, column="metric_other").is_empty()
    assert labels(home, Labels(model="cancer")).labelled == 1


def test_a_label_that_is_no_class_is_kept_and_said_where_others_are(home: Workspace) -> None:
    answer(home, ("a", 1), ("b", 1))
    found = give(home, {"request_id": ["a", "b"], "label": ["1", "unheard"]})
    assert "1 labels are no class of the model, such as 'unheard'; classes are 0, 1" in str(found)
    assert joined(home) == {("a", 0): "1", ("b", 0): "unheard"}


def test_labels_of_a_model_that_is_not_known_or_before_any_request(home: Workspace) -> None:
    with pytest.raises(NotFound, match="no model other is registered"):
        labels(home, Labels(model="other", frame={"request_id": ["a"], "label": [1]}))
    early = give(home, {"request_id": ["a"], "label": [1]})
    assert (early.matched, early.unknown) == (0, 1)
    assert labels(home, Labels(model="cancer")).served == 0
