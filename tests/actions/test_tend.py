"""Tables are tended when it is worth it, and rows are deleted when they are old, by a clock that may jump."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest
from deltalake import DeltaTable
from homes import workspace_at

from prodml_magics.actions.tend import SWEEP_SECONDS, Tending
from prodml_magics.clock import ManualClock
from prodml_magics.storage.lake import LakeRows
from prodml_magics.storage.upkeep import FEW_FILES
from prodml_magics.wire.routes import Route, Serving

TODAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


class JumpingClock(ManualClock):
    def jump(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class Home:
    """A home with a model that keeps its rows for two days, and a lake that holds one row for each of some days."""

    def __init__(self, folder: Path) -> None:
        self.clock = JumpingClock(TODAY)
        self.workspace = workspace_at(folder / ".prodml")
        self.workspace.clock = self.clock
        route = Route("cancer", 1, live=1, serving=Serving(keep_seconds=2 * 86_400))
        self.workspace.ledger.append(
            kind="deploy", model="cancer", expected=0, payload={"route": msgspec.to_builtins(route)}, at=TODAY, actor="ann"
        )
        self.tending = Tending(self.workspace)
        self.sequence = 0

    def append(self, day: datetime) -> None:
        rows = pl.DataFrame({"date": [day.date().isoformat()], "writer": ["w"], "sequence": [self.sequence]}).to_arrow()
        self.sequence += 1
        rows = LakeRows("w", rows, self.sequence)
        self.workspace.lake.append("cancer", [rows])
        self.tending.took("cancer", rows)

    def days(self) -> list[str]:
        path = self.workspace.lake.requests("cancer")
        return sorted(pl.scan_delta(path).select("date").collect()["date"].to_list())


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_rows_are_deleted_by_days_when_they_are_old_enough(home: Home) -> None:
    for days in range(5):
        home.append(TODAY - timedelta(days=days))
    home.tending.tend()
    assert home.days() == ["2026-02-27", "2026-02-28", "2026-03-01"]
    home.clock.advance(13 * 3600 - 1)
    home.tending.tend()
    assert len(home.days()) == 3, "the last row of the 27th may be 49 hours old less a second"
    home.clock.advance(SWEEP_SECONDS)
    home.tending.tend()
    assert home.days() == ["2026-02-28", "2026-03-01"]
    assert home.tending.problems == {}


@pytest.mark.parametrize("jump", [3600, 400 * 86_400, -3600])
def test_a_clock_that_jumps_deletes_nothing_early(home: Home, jump: float) -> None:
    for days in range(3):
        home.append(TODAY - timedelta(days=days))
    home.clock.jump(jump)
    home.clock.advance(12 * 3600)
    home.tending.tend()
    assert len(home.days()) == 3


def test_many_appends_are_compacted_before_the_next_sweep(home: Home) -> None:
    assert home.tending.tend() == 1, "the first look sweeps"
    for _ in range(FEW_FILES + 1):
        home.append(TODAY)
    assert home.tending.tend() == 1
    assert len(DeltaTable(home.workspace.lake.requests("cancer")).file_uris()) == 1
    assert home.tending.tend() == 0


def test_a_table_that_cannot_be_tended_is_named_and_holds_nobody_up(home: Home) -> None:
    home.append(TODAY)
    log = Path(home.workspace.lake.requests("cancer")) / "_delta_log"
    for path in log.glob("*.json"):
        path.write_text("no log")
    home.tending.tend()
    assert "cannot be read" in home.tending.problems["cancer"]
