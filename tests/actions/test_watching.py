"""%drift --sequential: weeks of sketched hours, their alarms, what it says while it learns, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from homes import go_live

from prodml_magics.actions.buckets import ROWS_ALONE, bucket_store, joined, read_grid, summarised
from prodml_magics.actions.drift import drift
from prodml_magics.actions.workspace import Workspace
from prodml_magics.clock import ManualClock
from prodml_magics.errors import InvalidInput, NotFound, UsageError
from prodml_magics.stats.drift.bucket import pack
from prodml_magics.stats.drift.sketch import SketchGrid, empty_sketch
from prodml_magics.storage.buckets import DAY, HOUR, Addition, Edges, Key
from prodml_magics.wire.requests import Drift

NOW = datetime(2026, 3, 10, 12, 2, tzinfo=UTC)
FIRST = NOW.replace(minute=0) - timedelta(days=40)
ROWS = 60


@pytest.fixture
def home(workspace: Workspace) -> Iterator[Workspace]:
    go_live(workspace, 1)
    with Workspace(workspace.home, actor="controller", clock=ManualClock(NOW), environment={}) as found:
        yield found


def _keep(home: Workspace, hours: int, moved_from: int | None = None) -> tuple[str, str]:
    """Hours of two columns as the controller keeps them, with a daily season; the first one moves by a sd; their names."""
    grid = read_grid(home, "cancer", 1)
    assert grid is not None
    names = [name for name in grid.grids if name not in grid.outputs][:2]
    rng = np.random.default_rng(0)
    additions = {}
    for hour in range(hours):
        sketches = {}
        for place, name in enumerate(names):
            own = grid.grids[name]
            assert isinstance(own, SketchGrid)
            moved = 1.0 if place == 0 and moved_from is not None and hour >= moved_from else 0.0
            z = rng.normal(0.5 * np.sin(2 * np.pi * hour / 24) + moved, 1, ROWS)
            counts = np.bincount(np.clip((z + 4) / 8 * 120, 0, 120).astype(int), minlength=len(own.edges) + 1)
            moments = np.array([z.sum(), z @ z])
            sketches[name] = empty_sketch(own)._replace(rows=ROWS, counts=counts, moments=moments, finite=ROWS)
        start = int(FIRST.timestamp()) + hour * HOUR
        additions[Key(grid.name, "live", HOUR, start)] = Addition(ROWS, pack(sketches))
    bucket_store(home).add("cancer", additions, {}, joined)
    return names[0], names[1]


def test_a_move_after_four_weeks_is_an_alarm_with_its_column_and_its_hour(home: Workspace) -> None:
    first, second = _keep(home, 40 * 24, moved_from=35 * 24)
    found = drift(home, Drift(model="cancer", sequential=True))
    assert (found.record.verdict, found.record.drifted) == ("drift", (first,))
    alarm = found.record.watch.alarms[0]  # type: ignore[union-attr]
    truth = FIRST + timedelta(days=35)
    assert truth < alarm.at <= truth + timedelta(hours=12)
    assert abs(alarm.began - truth) <= timedelta(hours=2)
    assert f"{first}: the mean went from " in alarm.reason
    assert "at most one in 20 days" in str(found)
    assert found.frame.filter(pl.col("column") == first)["shift"][0] > 0.5
    assert found.frame.filter(pl.col("column") == second)["reason"][0].startswith("judged by the hour since ")
    assert found._repr_html_().startswith("<div")
    assert found.to_dict()["watch"]["state"] == "watching"
    again = drift(home, Drift(model="cancer", sequential=True))
    assert again.record.watch == found.record.watch
    until = (truth - timedelta(days=1)).isoformat()
    assert drift(home, Drift(model="cancer", sequential=True, until=until)).record.verdict == "no drift"
    assert drift(home, Drift(model="cancer", sequential=True, columns=(second,))).record.verdict == "no drift"


def test_hours_that_became_days_are_remembered(home: Workspace) -> None:
    _keep(home, 40 * 24, moved_from=35 * 24)
    before = drift(home, Drift(model="cancer", sequential=True)).record.watch
    edge = int(NOW.timestamp()) // DAY * DAY
    bucket_store(home).roll_up("cancer", Edges(edge, edge), joined, summarised)
    assert drift(home, Drift(model="cancer", sequential=True)).record.watch == before


def test_before_four_weeks_it_says_how_long_it_learns(home: Workspace) -> None:
    _keep(home, 20 * 24)
    found = drift(home, Drift(model="cancer", sequential=True))
    assert found.record.verdict == "undecided"
    assert found.title == "cancer: learning, 8 days left; only days are judged"
    assert found.record.watch.judged_from is None  # type: ignore[union-attr]


def test_in_the_first_hour_it_says_so_too(home: Workspace) -> None:
    grid = read_grid(home, "cancer", 1)
    assert grid is not None
    start = int(NOW.timestamp()) // 300 * 300
    for name in (grid.name, ROWS_ALONE):
        bucket_store(home).add("cancer", {Key(name, "live", 300, start): Addition(9, pack({}) if name else None)}, {}, joined)
    found = drift(home, Drift(model="cancer", sequential=True))
    assert (found.record.verdict, found.title) == ("undecided", "cancer: learning, 28 days left; only days are judged")
    assert set(found.frame["reason"]) == {"still learnt; days are judged from the eighth on"}
    assert found._repr_html_().startswith("<div")


def test_the_hours_to_learn_from_can_be_chosen(home: Workspace) -> None:
    _keep(home, 40 * 24)
    stretch = f"{(FIRST + timedelta(days=5)).isoformat()}/{(FIRST + timedelta(days=34)).isoformat()}"
    found = drift(home, Drift(model="cancer", sequential=True, against=stretch))
    assert found.record.watch.judged_from == FIRST + timedelta(days=34)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("flags", "kind", "said"),
    [
        ({"by": "x"}, UsageError, "--by has no meaning with --sequential"),
        ({"embed": len}, UsageError, "--embed has no meaning with --sequential"),
        ({"fdr": "by"}, UsageError, "--fdr has no meaning"),
        ({"device": "gpu"}, UsageError, "--device gpu has no meaning"),
        ({"source": "rows"}, UsageError, "--source rows has no meaning"),
        ({"against": "previous"}, UsageError, "takes SINCE/UNTIL"),
        ({"against": "2026-01-01/2026-01-09"}, UsageError, "spans 8 days, and a watch learns from at least 28"),
        ({"columns": ("mean radios",)}, InvalidInput, "the profile has no column 'mean radios'; did you mean"),
    ],
)
def test_what_makes_no_sense_is_refused(home: Workspace, flags: dict[str, object], kind: type[Exception], said: str) -> None:
    _keep(home, 3)
    with pytest.raises(kind, match=said):
        drift(home, Drift(model="cancer", sequential=True, **flags))  # type: ignore[arg-type]


def test_without_served_hours_there_is_nothing_to_watch(home: Workspace) -> None:
    with pytest.raises(NotFound, match="has answered no rows that the controller has sketched"):
        drift(home, Drift(model="cancer", sequential=True))
    with pytest.raises(UsageError, match="two frames are compared once"):
        drift(home, Drift(model=pl.DataFrame({"a": [1]}), current=pl.DataFrame({"a": [1]}), sequential=True))
