from __future__ import annotations

import numpy as np
import pytest

from prodml_magics.errors import InvalidInput
from prodml_magics.stats.drift import Reference, detect, from_arrow, prepare, to_arrow
from prodml_magics.stats.drift.reference import MOST_LEVELS, LevelColumn, NumericColumn, TextColumn


def _numeric(values: object) -> NumericColumn:
    return _of(prepare({"a": values}))


def _of(reference: Reference, name: str = "a") -> NumericColumn:
    column = reference.columns[name]
    assert isinstance(column, NumericColumn)
    return column


def test_of_many_values_a_sketch_is_kept_whose_ranks_are_right_to_within_its_stated_error() -> None:
    rng = np.random.default_rng(0)
    for x in (rng.lognormal(size=5_003), np.round(rng.normal(size=5_003), 1), rng.integers(0, 4, 5_003)):
        kept = _of(prepare({"a": x}, sample=100))
        assert (len(kept.values), kept.present, kept.rows, kept.missing) == (100, 5_003, 5_003, 0)
        assert (np.diff(kept.values) >= 0).all()
        assert kept.rank_error == 0.01
        whole = np.sort(x.astype(kept.values.dtype))
        of_sketch, of_all = (np.searchsorted(side, whole, side="right") / len(side) for side in (kept.values, whole))
        assert np.abs(of_sketch - of_all).max() <= kept.rank_error
        assert (kept.values[0], kept.values[-1]) == (whole[0], whole[-1])
        assert (kept.mean, kept.sd) == pytest.approx((x.mean(), x.std()), rel=1e-6)
    assert _of(prepare({"a": x}, sample=6_000)).rank_error == 0


def test_against_a_sketch_all_rows_count_and_its_error_is_taken_off_the_bound() -> None:
    rng = np.random.default_rng(1)
    before, now = rng.normal(size=200_000), rng.normal(0.4, 1, 200_000)
    whole, sketch = (detect(prepare({"a": before}, sample=sample), {"a": now}) for sample in (200_000, 2_000))
    assert abs(whole.ks[0] - sketch.ks[0]) <= 1 / 2_000
    assert sketch.effect_low[0] == pytest.approx(whole.effect_low[0], abs=3 / 2_000)
    assert sketch.psi[0] == pytest.approx(whole.psi[0], rel=0.01)
    assert sketch.n_reference[0] == 200_000


def test_of_a_masked_column_no_value_is_kept_that_few_rows_have() -> None:
    rng = np.random.default_rng(2)
    salary = rng.lognormal(10, 1, 10_000)
    city = np.array([*["Oslo"] * 5_000, *["Rome"] * 4_990, *[f"hamlet {i}" for i in range(10)]])
    secret = np.array([f"text {i} {'x' * (i % 50)}" for i in range(10_000)])
    given = {"salary": salary, "city": city, "note": secret, "few": np.where(np.arange(10_000) < 19, 1.0, np.nan), "open": salary}
    reference = from_arrow(to_arrow(prepare(given, masked=("salary", "city", "note", "few"), calibrate=True)))
    kept = _of(reference, "salary")
    assert len(kept.values) == 120
    assert kept.values[0] > np.sort(salary)[19]
    assert kept.values[-1] < np.sort(salary)[-20]
    levels = reference.columns["city"]
    assert isinstance(levels, LevelColumn)
    assert (levels.levels, levels.other) == (("Oslo", "Rome"), 10)
    assert reference.rows is not None
    assert reference.rows.names == ("open",)
    text = reference.columns["note"]
    assert isinstance(text, TextColumn)
    assert {len(part.values) for part in text.parts.values()} == {120}
    same = detect(reference, given)
    assert same.drifted == []
    assert "kept no values of so few rows" in same.reason[same.names.index("few")]
    moved = {**given, "salary": salary * 2, "city": np.where(city == "Oslo", "Rome", city)}
    assert detect(reference, moved).drifted == ["salary", "city"]


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


@pytest.mark.parametrize(
    ("values", "counts"), [([5.0] * 9, [0, 9, 0]), ([0.0] * 95 + [1.0] * 5, [0, 95, 5]), ([0.0, 1.0], [1, 1])]
)
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
