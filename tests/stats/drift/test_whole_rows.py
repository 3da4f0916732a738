"""Whole rows that a reference keeps: values that stood together still do, in memory and in its stored form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from prodml_magics.stats.drift import from_arrow, prepare, to_arrow
from prodml_magics.stats.drift.whole_rows import MOST_WHOLE_ROWS, whole_rows

RNG = np.random.default_rng(3)
ROWS = 25_000
NUMBERS = RNG.normal(size=ROWS)
COLUMNS: dict[str, Any] = {
    "x": np.where(RNG.random(ROWS) < 0.1, np.nan, NUMBERS),
    "single": NUMBERS.astype("f4"),
    "place": np.arange(ROWS),
    "city": np.where(NUMBERS > 0, "Oslo", np.where(NUMBERS > -1, "Rome", None)),
    "sign": NUMBERS > 0,
    "day": np.datetime64("2024-01-01") + np.arange(ROWS),
    "note": np.array([f"text number {i} of many" for i in range(ROWS)], dtype=object),
    "vector": list(RNG.normal(size=(ROWS, 3))),
    "secret": NUMBERS * 2,
    "places": RNG.integers(0, 1_500, ROWS).astype(str),
}


def test_values_that_stand_together_stay_together() -> None:
    kept = prepare(COLUMNS, whole=True, masked=("secret",)).whole
    assert {name: str(values.dtype) for name, values in kept.items()} == {
        "x": "float64",
        "single": "float32",
        "place": "float32",
        "city": "object",
        "sign": "object",
    }
    assert {len(values) for values in kept.values()} == {MOST_WHOLE_ROWS}
    places = kept["place"].astype(int).tolist()
    assert places == sorted(set(places))
    np.testing.assert_array_equal(kept["x"], COLUMNS["x"][places])
    np.testing.assert_array_equal(kept["single"], COLUMNS["single"][places])
    assert kept["city"].tolist() == COLUMNS["city"][places].tolist()
    assert sorted(set(zip(kept["sign"].tolist(), COLUMNS["sign"][places].tolist(), strict=True))) == [
        ("False", False),
        ("True", True),
    ]


def test_they_are_the_same_when_they_are_read_back() -> None:
    made = prepare(COLUMNS, whole=True, masked=("secret",))
    found = from_arrow(to_arrow(made))
    assert list(found.whole) == list(made.whole)
    for name, values in made.whole.items():
        assert found.whole[name].dtype == values.dtype
        np.testing.assert_array_equal(found.whole[name], values)


def test_without_being_asked_none_are_kept() -> None:
    assert prepare(COLUMNS).whole == {}
    assert from_arrow(to_arrow(prepare({"x": COLUMNS["x"]}))).whole == {}


@pytest.mark.parametrize(("columns", "rows"), [(1, 10_000), (200, 10_000), (400, 5_000), (3_000, 1_000)])
def test_of_very_many_columns_fewer_rows_are_kept(columns: int, rows: int) -> None:
    one = prepare({"x": NUMBERS}).columns["x"]
    given = {f"x{i}": NUMBERS for i in range(columns)}
    assert {len(values) for values in whole_rows(given, dict.fromkeys(given, one)).values()} == {rows}


def test_columns_of_another_length_are_left_out() -> None:
    one = prepare({"x": NUMBERS}).columns["x"]
    given = {"x": NUMBERS[:50], "y": NUMBERS[:50], "answered": NUMBERS[:7]}
    assert list(whole_rows(given, dict.fromkeys(given, one))) == ["x", "y"]
    assert whole_rows({}, {}) == {}
    assert whole_rows({"x": NUMBERS[:0]}, {"x": one})["x"].tolist() == []
