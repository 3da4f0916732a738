"""Dates, times and large integers as people have them: read by what they mean, exactly."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from prodml_magics.actions.frames import as_columns
from prodml_magics.errors import InvalidInput
from prodml_magics.stats.drift import Reference, detect, from_arrow, prepare, to_arrow
from prodml_magics.stats.drift.arrays import as_array
from prodml_magics.stats.drift.bucket import grids_of, numbers, sketch_column
from prodml_magics.stats.drift.detect_sketches import detect_sketches
from prodml_magics.stats.drift.reference import NumericColumn

EAST = timezone(timedelta(hours=2))
DAYS = pd.date_range("2026-01-01", periods=200, tz="Europe/Oslo")

TEMPORAL: dict[str, tuple[Any, str]] = {
    "moments of pandas with a zone": (DAYS.to_series(), "datetime64[us]"),
    "moments of python": ([datetime(2026, 1, 1, 14, tzinfo=EAST), None, datetime(2026, 1, 1, 12, tzinfo=UTC)], "datetime64[us]"),
    "dates": ([date(2026, 1, 1), None], "datetime64[us]"),
    "dates and moments": ([date(2026, 1, 1), datetime(2026, 1, 1, 6)], "datetime64[us]"),
    "periods": (pd.Series(pd.period_range("2026-01", periods=3, freq="M")), "datetime64[us]"),
    "times of day": ([time(13, 30), None, time(0)], "timedelta64[us]"),
    "durations": ([timedelta(days=1, microseconds=7), None], "timedelta64[us]"),
    "mixed with words": ([datetime(2026, 1, 1), "soon"], "object"),
    "durations and moments": ([timedelta(1), datetime(2026, 1, 1)], "object"),
    "nothing": ([None, None], "object"),
    "words": (["2026-01-01"], "<U10"),
}


@pytest.mark.parametrize("case", TEMPORAL)
def test_objects_that_mean_time_are_read_as_time(case: str) -> None:
    given, dtype = TEMPORAL[case]
    assert as_array(given if isinstance(given, pd.Series) else np.array(given)).dtype == dtype


def test_moments_of_every_zone_are_the_same_moment() -> None:
    first, gap, last = as_array(np.array(TEMPORAL["moments of python"][0]))
    assert first == last == np.datetime64("2026-01-01T12:00")
    assert np.isnat(gap)


def test_moments_with_a_zone_that_move_are_drift() -> None:
    reference = prepare(pd.DataFrame({"at": DAYS}))
    found = detect(reference, pd.DataFrame({"at": DAYS + pd.Timedelta(days=150)}))
    assert (found.kind, found.drifted) == (("numeric",), ["at"])
    assert found.reason[0].endswith("median 2026-04-10 22:00 in the reference, 2026-09-07 22:00 now")
    assert detect(reference, pd.DataFrame({"at": DAYS.tz_convert("Asia/Tokyo")})).ks[0] == 0.0


def test_frames_with_types_that_numpy_lacks_are_read_exactly() -> None:
    frame = pl.DataFrame(
        {
            "wide": pl.Series([2**62 + 1, None], dtype=pl.Int128),
            "unsigned": pl.Series([2**64 - 1, 1], dtype=pl.UInt128),
            "beyond": pl.Series([2**70, 1], dtype=pl.Int128),
            "at": [time(1), time(2)],
        }
    )
    columns = as_columns(frame.select("wide", "unsigned", "beyond", "at").drop_nulls().head(1), "frame")
    assert [columns[name].dtype.name for name in columns] == ["int64", "uint64", "float64", "timedelta64[us]"]
    assert [columns[name].item() for name in ("wide", "unsigned", "beyond")] == [2**62 + 1, 2**64 - 1, 2.0**70]
    with pytest.raises(InvalidInput, match=r"column 'a' of the frame holds structs; .*frame.unnest\('a'\)"):
        as_columns(pl.DataFrame({"a": [{"b": 1}]}), "frame")


LARGE: dict[str, tuple[Any, Any, float]] = {
    "int64": (np.arange(2**60, 2**60 + 100), np.arange(2**60 + 50, 2**60 + 150), 0.5),
    "int64, far apart": (np.arange(100) * 2**56, np.arange(100) * 2**56 + 1, 0.01),
    "one int64": (np.full(100, 2**60), np.full(100, 2**60 + 1), 1.0),
    "uint64": (np.arange(2**64 - 200, 2**64 - 100, dtype="u8"), np.arange(2**64 - 150, 2**64 - 50, dtype="u8"), 0.5),
    "one uint64": (np.full(100, 2**64 - 2, "u8"), np.full(100, 2**64 - 1, "u8"), 1.0),
    "uint64 after int64": (np.arange(2**62, 2**62 + 100), np.arange(2**64 - 100, 2**64, dtype="u8"), 1.0),
    "int64 after uint64": (np.arange(2**64 - 100, 2**64, dtype="u8"), np.arange(100), 1.0),
    "negative after uint64": (np.arange(2**64 - 100, 2**64, dtype="u8"), np.arange(-100, 0), 1.0),
}


def _column(reference: Reference) -> NumericColumn:
    column = reference.columns["a"]
    assert isinstance(column, NumericColumn)
    return column


@pytest.mark.parametrize("case", LARGE)
def test_integers_that_floats_merge_are_told_apart(case: str) -> None:
    before, now, gap = LARGE[case]
    reference = from_arrow(to_arrow(prepare({"a": before})))
    assert [int(value) for value in _column(reference).values] == sorted(int(value) for value in before)
    found = detect(reference, {"a": now})
    assert found.ks[0] == pytest.approx(gap)
    assert found.wasserstein[0] == pytest.approx(
        float(np.mean([int(b) - int(a) for a, b in zip(before, now, strict=True)]).__abs__())
    )


@pytest.mark.parametrize("case", LARGE)
def test_sketches_count_such_integers_where_they_lie(case: str) -> None:
    before, now, gap = LARGE[case]
    reference = prepare({"a": before})
    grid = grids_of(reference)["a"]
    sketch = sketch_column("a", grid, now)
    upto = [sum(int(value) <= int(edge) for value in now) for edge in grid.edges]  # type: ignore[union-attr]
    assert np.cumsum(numbers(sketch).counts)[:-1].tolist() == upto
    found = detect_sketches(reference, {"a": sketch})
    assert gap - 1 / 60 <= found.ks[0] <= gap + 1e-12
