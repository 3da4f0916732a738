"""Sketches of served rows: each row once whoever is killed when, rolled up with time, and compared as the rows would be."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from homes import go_live

import prodml_magics.actions.drift_sketches as drift_sketches
from prodml_magics.actions.buckets import bucket_store, joined, read_grid, sketch_rows
from prodml_magics.actions.drift import drift
from prodml_magics.actions.kept import Asked, kept_rows, kept_window
from prodml_magics.actions.sketching import KEEP_FINEST, KEEP_HOURS, Sketching
from prodml_magics.actions.workspace import Workspace
from prodml_magics.clock import ManualClock
from prodml_magics.errors import InvalidInput, Unavailable, Unsupported, UsageError
from prodml_magics.stats.drift import from_arrow
from prodml_magics.stats.drift.bucket import numbers, unpack
from prodml_magics.stats.drift.hourly import unpack_hour
from prodml_magics.stats.drift.reference import NumericColumn
from prodml_magics.storage.buckets import DAY, HOUR, Addition, BucketStore, Edges, Key
from prodml_magics.storage.lake import LakeRows
from prodml_magics.wire.requests import Drift

NOW = datetime(2026, 3, 10, 12, 2, tzinfo=UTC)
SERVED = ("live", "canary", "fallback")
HOURS, PER_HOUR = 30, 120


def _rows(workspace: Workspace, since: datetime, hours: int, *, first: int = 0, moved: int = 0, seed: int = 0) -> LakeRows:
    """Rows of the training distribution; in the last `moved` hours the first column is ten times larger."""
    profile = from_arrow((workspace.folder("cancer", 1) / "profile.arrow").read_bytes())
    rng, count = np.random.default_rng(seed), hours * PER_HOUR
    columns = {
        name: rng.choice(column.values, count).astype(float)
        for name, column in profile.columns.items()
        if isinstance(column, NumericColumn)
    }
    next(iter(columns.values()))[count - moved * PER_HOUR :] *= 10
    received = [since + timedelta(hours=hours * (i + 0.5) / count) for i in range(count)]
    table = pa.table(
        {
            "date": [at.date().isoformat() for at in received],
            "writer": [f"w{seed}"] * count,
            "sequence": np.arange(first, first + count),
            "received_at": pa.array(received, pa.timestamp("us", tz="UTC")),
            "arm": np.where(np.arange(count) % 5, "live", "canary"),
            "version": pa.array([1] * count, pa.int32()),
            "status": pa.array(np.where(np.arange(count) % 50, 200, 500), pa.int32()),
            "inputs": pa.StructArray.from_arrays([pa.array(values) for values in columns.values()], names=list(columns)),
            "outputs": pa.StructArray.from_arrays([pa.array(rng.choice(["0", "1"], count))], names=["label"]),
        }
    )
    return LakeRows(f"w{seed}", table, first + count)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def home(workspace: Workspace, clock: ManualClock) -> Iterator[Workspace]:
    """cancer@1 live, by a clock moved by hand."""
    go_live(workspace, 1)
    with Workspace(workspace.home, actor="controller", clock=clock, environment={}) as found:
        yield found


@pytest.fixture
def served(home: Workspace) -> Workspace:
    """Thirty hours of rows, all sketched; in the last two hours the first column is ten times larger."""
    sketching = Sketching(home)
    sketching.keep()
    rows = _rows(home, NOW - timedelta(hours=HOURS), HOURS, moved=2)
    for start in range(0, rows.table.num_rows, 2_000):
        part = LakeRows(rows.writer, rows.table.slice(start, 2_000), min(start + 2_000, rows.until))
        home.lake.append("cancer", [part])
        sketching.took("cancer", part)
        sketching.keep()
    assert sketching.problems == {}
    return home


def _counts(home: Workspace, since: datetime | None, until: datetime | None) -> tuple[int, list[list[int]], int]:
    """Rows, counts of the numeric columns and rows that had to be read, of a window of the store."""
    grid = read_grid(home, "cancer", 1)
    assert grid is not None
    window = kept_window(home, Asked("cancer", SERVED, since, until), grid)
    assert window is not None
    kept = [numbers(sketch).counts.tolist() for name, sketch in window.sketches.items() if name not in grid.outputs]
    return window.rows, kept, window.read


def _counted(home: Workspace, since: datetime | None, until: datetime | None) -> tuple[int, list[list[int]]]:
    """The same from the rows of the lake."""
    grid = read_grid(home, "cancer", 1)
    assert grid is not None
    rows = home.lake.rows("cancer", arms=SERVED, since=since, until=until)
    sketches = sketch_rows(grid, rows)
    return rows.height, [numbers(sketch).counts.tolist() for name, sketch in sketches.items() if name not in grid.outputs]


def test_any_window_holds_what_its_rows_hold_and_only_its_ragged_ends_are_read(served: Workspace) -> None:
    for since, until in ((None, None), (NOW - timedelta(hours=7), None), (NOW - timedelta(hours=9), NOW - timedelta(minutes=31))):
        rows, counts, read = _counts(served, since, until)
        assert (rows, counts) == _counted(served, since, until)
        assert read < 25, "less than two buckets of five minutes"
    aligned = NOW.replace(minute=0) - timedelta(hours=5)
    assert _counts(served, aligned, aligned + timedelta(hours=2))[2] == 0
    assert kept_rows(served, Asked("cancer", SERVED, None, None)) == HOURS * PER_HOUR * 49 // 50


def test_whoever_is_killed_between_lake_and_sketches_counts_each_row_once(served: Workspace) -> None:
    more = _rows(served, NOW - timedelta(minutes=50), 1, first=HOURS * PER_HOUR)
    served.lake.append("cancer", [more])  # killed here: nobody was told
    Sketching(served).keep()
    assert _counts(served, None, None)[:2] == _counted(served, None, None)
    again = Sketching(served)  # killed after the sketches were written, before the spool's offset moved on
    again.keep()
    again.took("cancer", more)
    again.keep()
    other = _rows(served, NOW - timedelta(minutes=50), 1, seed=1)  # a worker nobody has heard of
    served.lake.append("cancer", [other])
    again.took("cancer", other)
    again.took("cancer", other)
    again.keep()
    Sketching(served).keep()
    assert _counts(served, None, None)[:2] == _counted(served, None, None)


def test_counts_and_marks_change_together_or_not_at_all(tmp_path: Path) -> None:
    store = BucketStore(tmp_path / "buckets.db")
    key, other = Key("1:a", "live", 300, 300), Key("1:a", "live", 300, 600)
    store.add("m", {key: Addition(3, b"x")}, {"w": 3}, b"".join)

    def dies(_parts: object) -> bytes:
        raise Unavailable("killed")

    with pytest.raises(Unavailable):
        store.add("m", {other: Addition(1, b"z"), key: Addition(2, b"y")}, {"w": 5}, dies)
    assert (store.marks("m"), [kept.rows for kept in store.read("m", "1:a", ["live"], None, None)]) == ({"w": 3}, [3])
    store.add("m", {other: Addition(1, b"z"), key: Addition(2, b"y")}, {"w": 5}, b"".join)
    assert [(kept.rows, kept.sketches) for kept in store.read("m", "1:a", ["live"], None, None)] == [(5, b"xy"), (1, b"z")]
    assert store.marks("m") == {"w": 5}


def test_a_store_of_a_later_format_asks_for_an_upgrade_and_a_broken_one_says_what_to_do(tmp_path: Path) -> None:
    store = BucketStore(tmp_path / "buckets.db")
    assert (store.marks("m"), store.edges("m"), store.path.exists()) == ({}, Edges(), False)
    store.add("m", {}, {"w": 1}, joined)
    import sqlite3

    with sqlite3.connect(store.path) as database:
        database.execute("UPDATE meta SET format = 9")
    database.close()
    with pytest.raises(Unsupported, match=r"format 9, later than 1.*upgrade"):
        store.marks("m")
    (tmp_path / "other.db").write_bytes(b"nonsense" * 400)
    with pytest.raises(Unavailable, match="delete the file"):
        BucketStore(tmp_path / "other.db").marks("m")


def test_old_buckets_become_hours_and_days_and_hours_leave_a_summary(served: Workspace, clock: ManualClock) -> None:
    before = _counts(served, None, None)
    sketching = Sketching(served)
    clock.advance(KEEP_FINEST)
    sketching.keep()
    store, grid = bucket_store(served), read_grid(served, "cancer", 1)
    assert grid is not None

    def widths() -> set[int]:
        return {kept.key.width for kept in store.sizes("cancer", grid.name, SERVED, None, None)}

    assert widths() == {300, HOUR}
    assert _counts(served, None, None) == before
    clock.advance(KEEP_HOURS - KEEP_FINEST)
    sketching.keep()
    assert widths() == {DAY, HOUR}
    assert _counts(served, None, None)[:2] == before[:2]
    hour = unpack_hour(store.series("cancer", grid.name, ("live",))[1][1])
    first = served.contract("cancer", 1).columns[0].name
    assert abs(hour[first]["mean"]) < 0.5
    assert hour[first]["missing"] == 0
    late = _rows(served, NOW - timedelta(hours=3), 1, seed=2)
    served.lake.append("cancer", [late])
    sketching.took("cancer", late)
    sketching.keep()
    assert _counts(served, None, None)[:2] == _counted(served, None, None)


def test_drift_says_from_sketches_what_it_says_from_rows(served: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    first = served.contract("cancer", 1).columns[0].name
    for against in ("reference", "previous", "12h", "cancer@1"):
        rows, sketches = (
            drift(served, Drift(model="cancer", window="2h", against=against, source=source)) for source in ("rows", "sketches")
        )
        assert (rows.record.source, sketches.record.source) == ("rows", "sketches")
        assert rows.record.drifted == sketches.record.drifted == (first,), against
        assert rows.record.window.rows == sketches.record.window.rows
        for one, other in zip(rows.record.columns, sketches.record.columns, strict=True):
            for name in ("column", "kind", "n_reference", "n_current", "chi2", "tv"):
                assert one[name] == other[name], (against, name)
            if one["ks"] is not None:
                assert other["ks"] <= one["ks"] + 1e-9
                assert one["ks"] - other["ks"] < 0.03
            assert one["psi"] == pytest.approx(other["psi"], abs=1e-9)
            assert one["js"] == pytest.approx(other["js"], abs=1e-9)
        assert "from sketches" in str(sketches)
        assert ("looked for in rows" in rows.record.note, "looked for in rows" in sketches.record.note) == (False, True)
        assert f"sketches of all {sketches.record.window.rows:,} rows" in str(sketches)
        assert f", {sketches.record.rows_read} of them as rows since the window cuts a bucket" in str(sketches)
        if against == "reference":
            assert [row["calibrated"] for row in rows.record.columns] == [row["calibrated"] for row in sketches.record.columns]
        assert sketches.details.keys() == rows.details.keys()
    monkeypatch.setattr(drift_sketches, "MANY_ROWS", 200)
    assert drift(served, Drift(model="cancer", window="2h")).record.source == "sketches"
    assert drift(served, Drift(model="cancer", window="1h")).record.source == "rows"
    assert drift(served, Drift(model="cancer", window="2h", exact=True)).record.source == "rows"


def test_the_beginning_is_found_before_the_window(served: Workspace) -> None:
    for source in ("rows", "sketches"):
        found = drift(served, Drift(model="cancer", window="1h", source=source))
        (onset,) = (each for each in found.record.onsets if each.column == found.record.drifted[0])
        assert abs(onset.at - (NOW - timedelta(hours=2))) <= timedelta(minutes=5)
        assert onset.earliest <= NOW - timedelta(hours=2) <= onset.latest


def test_what_cannot_be_had_from_sketches_is_refused_with_the_way_out(served: Workspace, home: Workspace) -> None:
    with pytest.raises(UsageError, match="--by needs the rows; leave out --source sketches"):
        drift(served, Drift(model="cancer", window="1h", against="previous", by="x", source="sketches"))
    with pytest.raises(UsageError, match="--device gpu needs the rows; leave out --source sketches"):
        drift(served, Drift(model="cancer", window="1h", device="gpu", source="sketches"))
    with pytest.raises(UsageError, match="--source chooses"):
        drift(served, Drift(model=pl.DataFrame({"a": [1]}), current=pl.DataFrame({"a": [1]}), source="rows"))
    with pytest.raises(InvalidInput, match="not all of its rows were sketched on the quantiles of version 2"):
        drift(served, Drift(model="cancer", window="1h", against="cancer@2", source="sketches"))
    more = _rows(served, NOW - timedelta(minutes=50), 1, first=HOURS * PER_HOUR)
    served.lake.append("cancer", [more])
    with pytest.raises(InvalidInput, match="has not sketched all rows yet"):
        drift(served, Drift(model="cancer", window="1h", source="sketches"))
    bucket_store(served).path.unlink()
    with pytest.raises(InvalidInput, match="start it with %up"):
        drift(served, Drift(model="cancer", window="1h", source="sketches"))


def test_rows_of_another_version_are_sketched_for_the_live_one_too(home: Workspace) -> None:
    rows = _rows(home, NOW - timedelta(hours=2), 2)
    version = pa.array(np.where(np.arange(rows.table.num_rows) % 5, 1, 2), pa.int32())
    table = rows.table.set_column(rows.table.schema.get_field_index("version"), "version", version)
    home.lake.append("cancer", [LakeRows("w0", table, rows.until)])
    Sketching(home).keep()
    found = drift(home, Drift(model="cancer", window="2h", source="sketches"))
    label = next(row for row in found.record.columns if row["column"] == "label")
    inputs = next(row for row in found.record.columns if row["column"] != "label")
    assert inputs["n_current"] == found.record.window.rows
    assert label["n_current"] < inputs["n_current"]
    stored = bucket_store(home).read("cancer", read_grid(home, "cancer", 2).name, SERVED, None, None)  # type: ignore[union-attr]
    assert sum(kept.rows for kept in stored) == inputs["n_current"]
    assert "label" in unpack(stored[0].sketches or b"")


def test_trouble_with_the_store_holds_nobody_up_is_told_and_made_good(home: Workspace) -> None:
    rows = _rows(home, NOW - timedelta(hours=1), 1)
    home.lake.append("cancer", [rows])
    path = bucket_store(home).path
    path.mkdir()
    sketching = Sketching(home)
    sketching.keep()
    sketching.took("cancer", rows)
    assert "delete the file" in sketching.problems["cancer"]
    path.rmdir()
    sketching.keep()
    assert sketching.problems == {}
    assert _counts(home, None, None)[:2] == _counted(home, None, None)
