from __future__ import annotations

import numpy as np
import pytest

from prodml_magics.errors import InvalidInput
from prodml_magics.stats.drift import prepare
from prodml_magics.stats.drift.reference import MOST_LEVELS, LevelColumn, NumericColumn


def _numeric(values: object) -> NumericColumn:
    column = prepare({"a": values}).columns["a"]
    assert isinstance(column, NumericColumn)
    return column


def test_a_sample_is_sorted_seeded_and_no_larger_than_asked() -> None:
    x = {"a": np.random.default_rng(0).normal(size=5_000)}
    first, again, other = (prepare(x, sample=100, seed=seed).columns["a"] for seed in (1, 1, 2))
    assert len(first.values) == 100
    assert (np.diff(first.values) >= 0).all()
    assert (first.values == again.values).all()
    assert (first.values != other.values).any()
    assert (first.rows, first.missing) == (5_000, 0)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.arange(100), "float32"),
        (np.array([2**24, 2**24 + 1]), "float64"),
        (np.array([2**53, 2**53 + 1]), "int64"),
        (np.array([0.1, 0.2]), "float32"),
        (1e9 + np.random.default_rng(0).normal(size=99), "float64"),
        (np.array([1.0, 1e300]), "float64"),
        (np.array(["2026-11-23T10:00:00.000001", "2026-11-23T10:00:00.000002"], dtype="M8[us]"), "float64"),
    ],
)
def test_values_are_kept_as_narrow_as_they_stay_apart(values: np.ndarray, dtype: str) -> None:
    column = _numeric(values)
    assert column.values.dtype == dtype
    assert len(np.unique(column.values)) == len(np.unique(values))


def test_bins_hold_a_tenth_each_of_continuous_values() -> None:
    assert _numeric(np.random.default_rng(0).permutation(1_000)).counts.tolist() == [100] * 10


@pytest.mark.parametrize(("values", "counts"), [([5.0] * 9, [0, 9, 0]), ([0.0] * 95 + [1.0] * 5, [95, 5]), ([0.0, 1.0], [1, 1])])
def test_ties_make_fewer_bins_and_a_constant_has_three(values: list[float], counts: list[int]) -> None:
    assert _numeric(values).counts.tolist() == counts


def test_levels_beyond_the_limit_are_pooled() -> None:
    column = prepare({"a": [f"{i}" for i in range(MOST_LEVELS + 50)] * 2 + ["0"] * 9}).columns["a"]
    assert isinstance(column, LevelColumn)
    assert (len(column.levels), column.levels[0], column.counts[0], column.other) == (MOST_LEVELS, "0", 11, 100)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None, 3], "numeric"),
        ([True, None], "categorical"),
        ([None, None], "categorical"),
        ([1, "a"], "categorical"),
        ([b"x"], "categorical"),
    ],
)
def test_objects_are_read_by_their_values(values: list[object], kind: str) -> None:
    column = prepare({"a": np.array(values, dtype=object)}).columns["a"]
    assert isinstance(column, NumericColumn if kind == "numeric" else LevelColumn)
    assert column.missing == sum(value is None for value in values)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ({"a": [1.0], "b": [1.0, 2.0]}, "column 'a' has 1 rows and 'b' has 2"),
        ({"a": [1j]}, "column 'a' holds complex128"),
        (np.ones(3), "has no columns"),
    ],
)
def test_what_cannot_be_summarised_is_refused(x: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        prepare(x)


def test_names_have_to_fit() -> None:
    with pytest.raises(InvalidInput, match="2 columns for 1 names"):
        prepare(np.ones((3, 2)), names=["a"])
    with pytest.raises(InvalidInput, match="one name"):
        prepare(np.ones((3, 2)), names=["a", "a"])
    with pytest.raises(InvalidInput, match="sample of 0"):
        prepare(np.ones((3, 2)), sample=0)
