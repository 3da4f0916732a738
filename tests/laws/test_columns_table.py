"""Columns of every dtype and kind through `detect`: the same numbers from all of them, and those of oracles that read Python's values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from prodml_magics.stats.drift import Detection, detect, from_arrow, prepare, to_arrow
from prodml_magics.stats.drift.arrays import as_array
from prodml_magics.stats.drift.bucket import grids_of, pack, sketch_column, total, unpack
from prodml_magics.stats.drift.detect_sketches import detect_sketches
from prodml_magics.stats.drift.statistics import STATISTICS

RNG = np.random.default_rng(20_261_128)
BEFORE, NOW = RNG.integers(0, 100, 400), RNG.integers(10, 120, 300)
NUMERIC = [name for name, each in STATISTICS.items() if each.numeric is not None]
CORE = ("ks", "wasserstein", "psi", "js")


def _found(before: Any, now: Any, **kwargs: Any) -> Detection:
    """By way of a stored profile."""
    return detect(from_arrow(to_arrow(prepare({"a": before}))), {"a": now}, **kwargs)


def _value(found: Detection, name: str) -> float:
    values = found.extra[name] if name in found.extra else getattr(found, name)
    return float(values[0])


# ── one sample in every dtype ──────────────────────────────────────────────────────────────────────────────────────

KINDS: dict[str, Callable[[np.ndarray], Any]] = {
    **{dtype: lambda x, dtype=dtype: x.astype(dtype) for dtype in ("f2", "f4", "f8", "longdouble")},
    **{dtype: lambda x, dtype=dtype: x.astype(dtype) for dtype in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")},
    "big endian": lambda x: x.astype(">f8"),
    "strided": lambda x: np.repeat(x, 2)[::2],
    "python's integers": lambda x: x.tolist(),
    "decimals": lambda x: np.array([Decimal(int(value)) for value in x], dtype=object),
    "nullable of pandas": lambda x: pd.array(x, dtype="Int16"),
    "of polars": lambda x: pl.Series(x).cast(pl.UInt8),
    "seconds since 1970": lambda x: x.astype("M8[s]"),
    "seconds": lambda x: x.astype("m8[s]"),
    "moments with a zone": lambda x: pd.to_datetime(x, unit="s", utc=True),
}


@pytest.fixture(scope="module")
def plain() -> Detection:
    return _found(BEFORE.astype("f8"), NOW.astype("f8"), methods=NUMERIC)


@pytest.mark.parametrize("kind", KINDS)
def test_every_dtype_says_what_float64_says(kind: str, plain: Detection) -> None:
    found = _found(KINDS[kind](BEFORE), KINDS[kind](NOW), methods=NUMERIC)
    assert found.kind == ("numeric",)
    for name in (*NUMERIC, *CORE, "p_value", "effect_low"):
        assert _value(found, name) == pytest.approx(_value(plain, name), rel=1e-6), name


@pytest.mark.parametrize(("before", "now"), [("i8", "f8"), ("f4", "i8"), ("u1", "i8"), ("f2", "u8"), ("f8", "f4")])
def test_two_dtypes_are_compared_by_their_values(before: str, now: str, plain: Detection) -> None:
    found = _found(BEFORE.astype(before), NOW.astype(now), methods=NUMERIC)
    for name in NUMERIC:
        assert _value(found, name) == pytest.approx(_value(plain, name), rel=1e-6), name


@pytest.mark.parametrize(
    ("offset", "dtype"), [(2**40, "f8"), (-(2**40), "i8"), (2**60, "i8"), (-(2**63), "i8"), (2**63, "u8"), (2**40, "M8[ms]")]
)
def test_a_huge_offset_changes_nothing(offset: int, dtype: str, plain: Detection) -> None:
    moved = [
        np.array([int(value) + offset for value in side.tolist()], dtype="u8" if offset == 2**63 else "i8")
        for side in (BEFORE, NOW)
    ]
    found = _found(*(side.astype(dtype) for side in moved), methods=NUMERIC)
    unit = 1e-3 if dtype == "M8[ms]" else 1.0
    for name in ("ks", "psi", "js", "hellinger", "kl", "linf", "cvm", "ad"):
        assert _value(found, name) == pytest.approx(_value(plain, name), rel=1e-9), name
    assert _value(found, "wasserstein") == pytest.approx(unit * _value(plain, "wasserstein"), rel=1e-4)


# ── oracles that read Python's own values ──────────────────────────────────────────────────────────────────────────


def _ranks(before: list[Any], now: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    places = {value: place for place, value in enumerate(sorted({*before, *now}))}
    return np.array([places[value] for value in before]), np.array([places[value] for value in now])


def _counted(before: list[Any], now: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of both sides in the bins that end at the reference's deciles; a value at several of these has a bin of its own."""
    ordered = sorted(before)
    places = {math.ceil(len(ordered) * k / 10) - 1 for k in range(1, 10)}
    often = Counter(ordered[place] for place in places)
    alone = [end for end, times in often.items() if times > 1 or ordered[0] == ordered[-1]]
    ends = [end for end in often if end < ordered[-1] or end in alone]
    bins = [
        Counter(sum(value > end for end in ends) + sum(value >= end for end in alone) for value in side) for side in (before, now)
    ]
    counts = np.array([[side[place] for place in range(len(ends) + len(alone) + 1)] for side in bins])
    return tuple(counts[:, counts.any(axis=0)])


def _psi(before: np.ndarray, now: np.ndarray) -> float:
    p, q = ((side + 0.5) / (side + 0.5).sum() for side in (before, now))
    return float(((q - p) * np.log(q / p)).sum())


F4 = np.float32
CASES: dict[str, tuple[Any, Any]] = {
    "continuous": (RNG.normal(size=300).astype(F4), RNG.normal(0.4, 1, 200).astype(F4)),
    "heavy ties": (np.round(RNG.normal(size=300)), np.round(RNG.normal(0.5, 2, 250))),
    "constants": (np.full(60, 7.0), np.full(40, 7.0)),
    "another constant": (np.full(60, 7.0), np.full(40, 8.0)),
    "one row": ([3.0], [4.0]),
    "two rows": ([3.0, 4.0], [4.0, 4.0]),
    "one against many": ([0.1], RNG.normal(size=900).astype(F4)),
    "many against one": (RNG.normal(size=900).astype(F4), [0.1]),
    "denormals": (RNG.integers(0, 50, 200) * 5e-324, RNG.integers(5, 60, 150) * 5e-324),
    "denormals of float32": (RNG.integers(0, 50, 200).astype(F4) * F4(1e-45), RNG.integers(5, 60, 150).astype(F4) * F4(1e-45)),
    "infinite": (
        np.append(RNG.normal(size=90), [np.inf, -np.inf]).astype(F4),
        np.append(RNG.normal(size=70), [np.inf] * 9).astype(F4),
    ),
    "outlier": (np.append(RNG.normal(size=200), 1e12).astype(F4), RNG.normal(1, 1, 200).astype(F4)),
    "largest floats": (RNG.choice([-1.7e308, 0.0, 1.7e308], 60), RNG.choice([-1.7e308, 1.7e308], 50)),
    "beyond 2^53": (2**53 + RNG.integers(0, 20, 200), 2**53 + RNG.integers(5, 25, 180)),
    "all of int64": (RNG.integers(-(2**63), 2**63, 200), RNG.integers(0, 2**63, 180)),
    "all of uint64": (RNG.integers(0, 2**64, 200, dtype="u8"), RNG.integers(2**62, 2**64, 180, dtype="u8")),
    "negative zero": ([-0.0, 0.0, 1.0] * 20, [0.0, -0.0, -1.0] * 20),
}


@pytest.mark.parametrize("case", CASES)
def test_statistics_are_those_of_pythons_values(case: str) -> None:
    before, now = CASES[case]
    found, (x, y) = _found(before, now), (np.asarray(side).tolist() for side in (before, now))
    ranks = _ranks(x, y)
    assert _value(found, "ks") == pytest.approx(stats.ks_2samp(*ranks).statistic, abs=1e-12)
    if len(x) * len(y) <= 10**6:
        assert _value(found, "p_value") == pytest.approx(stats.ks_2samp(*ranks, method="exact").pvalue, rel=1e-6)
    counts = _counted(x, y)
    assert _value(found, "psi") == pytest.approx(_psi(*counts), abs=1e-9)
    assert _value(found, "js") == pytest.approx(jensenshannon(*counts, base=2), abs=1e-7)
    if case == "infinite":
        assert math.isnan(_value(found, "wasserstein"))
        return
    least, unit = min(*x, *y), 2.0**20 if case == "largest floats" else 1.0
    apart = [[float(value / unit - least / unit if unit > 1 else value - least) for value in side] for side in (x, y)]
    assert _value(found, "wasserstein") == pytest.approx(unit * stats.wasserstein_distance(*apart), rel=1e-6)


def test_one_row_against_a_million() -> None:
    many = np.random.default_rng(1).normal(size=1_000_000).astype(F4)
    for before, now in (([0.25], many), (many, [0.25])):
        found = detect(prepare({"a": before}, sample=1_000_000), {"a": now})
        below = float((many <= 0.25).mean())
        assert found.ks[0] == pytest.approx(max(below, 1 - below), abs=1e-6)
        assert found.wasserstein[0] == pytest.approx(np.abs(many.astype("f8") - 0.25).mean(), rel=1e-6)
        whose = "the reference's " if now is many else ""
        assert found.reason == (f"{whose}1 row is too few to tell; 20 are needed",)


# ── categories ─────────────────────────────────────────────────────────────────────────────────────────────────────

_CITY = np.array(["Oslo", "Rome", "", "日本", "naïve", "👩‍🔬"], dtype=object)
LEVELS: dict[str, tuple[Any, Any]] = {
    "unicode and the empty string": (RNG.choice(_CITY, 500), RNG.choice(_CITY, 400, p=[0.3, 0.3, 0.1, 0.1, 0.1, 0.1])),
    "nulls": (RNG.choice(np.array(["a", "b", None], object), 300), RNG.choice(np.array(["a", "b", None], object), 200)),
    "empty beside null": (["", None, "x"] * 90, ["", None, "x", "x"] * 60),
    "composed beside decomposed": (["é"] * 50 + ["e\u0301"] * 50, ["é"] * 20 + ["e\u0301"] * 60),
    "unused levels": (
        pd.Categorical(["a", "b"] * 60, ["a", "b", "never"]),
        pd.Categorical(["a"] * 90 + ["b"] * 30, ["b", "a", "x"]),
    ),
    "an enum of polars": (
        pl.Series(["a", "b"] * 60, dtype=pl.Enum(["a", "b", "c"])),
        pl.Series(["c", "b"] * 50, dtype=pl.Categorical),
    ),
    "booleans": (RNG.random(200) < 0.5, RNG.random(150) < 0.7),
    "booleans with gaps": ([True, None, False] * 50, [True, None, True] * 40),
    "one level": (["a"] * 50, ["a"] * 40),
    "another level": (["a"] * 50, ["b"] * 40),
    "one row": (["a"], ["b"]),
    "unseen and vanished": (["a", "b", "gone"] * 50, ["a", "b", "new"] * 40),
    "numbers as words": (["1", "2"] * 50, ["1", "1", "2"] * 40),
    "nan as a word": (["nan", "None", "x"] * 40, ["nan", "x"] * 40),
    "long words": (["x" * 5_000, "y" * 5_000] * 50, ["x" * 5_000] * 40),
}


def _level_counts(before: Any, now: Any) -> tuple[np.ndarray, np.ndarray]:
    one, other = (Counter(str(value) for value in list(side) if value is not None and value == value) for side in (before, now))
    names = [*one, *(name for name in other if name not in one)]
    return np.array([one[name] for name in names]), np.array([other[name] for name in names])


@pytest.mark.parametrize("case", LEVELS)
def test_categories_are_counted_as_python_counts_them(case: str) -> None:
    before, now = LEVELS[case]
    found, counts = _found(before, now), _level_counts(before, now)
    assert found.kind == ("categorical",)
    for side, share in ((before, found.missing_reference[0]), (now, found.missing_current[0])):
        assert share == pytest.approx(sum(value is None for value in list(side)) / len(side))
    p, q = (side / side.sum() for side in counts)
    assert _value(found, "tv") == pytest.approx(np.abs(p - q).sum() / 2)
    assert _value(found, "js") == pytest.approx(jensenshannon(p, q, base=2), abs=1e-7)
    assert _value(found, "psi") == pytest.approx(_psi(*counts), abs=1e-9)
    if len(p) > 1 and stats.contingency.expected_freq(np.array(counts)).min() >= 5:
        oracle = stats.chi2_contingency(counts, correction=False)
        assert _value(found, "chi2") == pytest.approx(oracle.statistic, abs=1e-9)


def test_a_hundred_thousand_levels_are_pooled_and_still_counted() -> None:
    rng = np.random.default_rng(2)
    names = np.array([f"level {i}" for i in range(100_000)], dtype=object)
    before, now = np.concatenate([names, rng.choice(names[:50], 150_000)]), rng.choice(names[:50], 20_000)
    found = _found(before, now)
    one, other = Counter(before.tolist()), Counter(now.tolist())
    kept = sorted(one, key=lambda name: (-one[name], name))[:1_000]
    p = [one[name] / len(before) for name in kept]
    q = [other[name] / len(now) for name in kept]
    expected = (sum(abs(a - b) for a, b in zip(p, q, strict=True)) + abs(sum(p) - sum(q))) / 2
    assert _value(found, "tv") == pytest.approx(expected)
    assert found.drifted == ["a"]


# ── from sketches ──


def _of_sketches(before: Any, now: Any) -> tuple[Detection, Detection]:
    """The same columns from all rows, and from counts on the reference's grid that were added up from two halves and stored."""
    reference = from_arrow(to_arrow(prepare({"a": before})))
    grid, values = grids_of(reference)["a"], as_array(now)
    halves = [unpack(pack({"a": sketch_column("a", grid, part)})) for part in np.array_split(values, 2)]
    return detect(reference, {"a": values}), detect_sketches(reference, total(halves))


@pytest.mark.parametrize("case", CASES)
def test_of_every_law_counts_on_the_grid_say_what_the_values_say_or_less(case: str) -> None:
    exact, found = _of_sketches(*CASES[case])
    assert 0 <= found.ks[0] <= exact.ks[0] + 1e-9
    for name in ("psi", "js"):
        assert _value(found, name) == pytest.approx(_value(exact, name), abs=1e-7), name
    for name in ("n_reference", "n_current", "missing_reference", "missing_current"):
        assert getattr(found, name).tolist() == getattr(exact, name).tolist()
    assert math.isnan(_value(found, "wasserstein")) or not math.isnan(_value(exact, "wasserstein"))
    assert not found.drifted or exact.drifted


@pytest.mark.parametrize("case", LEVELS)
def test_of_every_kind_of_category_counts_say_all(case: str) -> None:
    exact, found = _of_sketches(*LEVELS[case])
    for name in ("tv", "chi2", "psi", "js", "p_value", "effect", "effect_low", "missing_reference", "missing_current"):
        assert _value(found, name) == pytest.approx(_value(exact, name), nan_ok=True), name
    assert (found.drifted, found.reason) == (exact.drifted, exact.reason)


# ── nothing to compare ─────────────────────────────────────────────────────────────────────────────────────────────

FULL: dict[str, Any] = {
    "numbers": np.arange(60.0),
    "integers": np.arange(60),
    "moments": np.arange(60).astype("M8[s]"),
    "booleans": np.arange(60) % 2 == 0,
    "categories": np.array(["a", "b"] * 30),
    "texts": np.array([f"text {i}" for i in range(120)]),
    "vectors": np.ones((60, 2)),
}


@pytest.mark.parametrize("kind", FULL)
def test_without_rows_on_a_side_everything_is_null_with_the_reason(kind: str) -> None:
    full = FULL[kind]
    cases = {"reference": (full[:0], full), "current rows": (full, full[:0]), "both": (full[:0], full[:0])}
    for case, (before, now) in cases.items():
        if kind == "texts" and case != "current rows":
            continue  # without a row nothing says that they are texts
        found = _found(before, now, methods=list(STATISTICS))
        row = found.frame.row(0, named=True)
        undefined = {name: value for name, value in row.items() if name in (*STATISTICS, *CORE, "p_value", "effect", "drifted")}
        assert set(undefined.values()) == {None}, case
        assert row["reason"] == f"{'reference' if case == 'both' else case}: no rows, nothing to compare"


GAPS: dict[str, tuple[Any, Any]] = {
    "numbers": (np.arange(60.0), np.full(60, np.nan)),
    "float16": (np.arange(60.0).astype("f2"), np.full(60, np.nan, "f2")),
    "nullable integers": (pd.array(range(60), dtype="UInt8"), pd.array([None] * 60, dtype="UInt8")),
    "moments": (np.arange(60).astype("M8[s]"), np.full(60, np.datetime64("NaT"))),
    "durations": (np.arange(60).astype("m8[s]"), np.full(60, np.timedelta64("NaT"))),
    "booleans": ([True, False] * 30, [None] * 60),
    "categories": (["a", "b"] * 30, [None] * 60),
    "texts": ([f"text {i}" for i in range(120)], [None] * 120),
    "vectors": (np.ones((60, 2)), np.full((60, 2), np.nan)),
}


@pytest.mark.parametrize("kind", GAPS)
def test_where_every_value_of_a_side_is_missing_the_share_decides_and_all_else_is_null(kind: str) -> None:
    full, gaps = GAPS[kind]
    for before, now, told in ((full, gaps, "rose from 0 % to 100 %"), (gaps, full, "fell from 100 % to 0 %"), (gaps, gaps, "")):
        found = _found(before, now, methods=list(STATISTICS))
        row = found.frame.row(0, named=True)
        undefined = {name: value for name, value in row.items() if name in (*STATISTICS, *CORE)}
        assert set(undefined.values()) == {None}, told
        if told:
            assert (row["drifted"], row["reason"]) == (True, f"missing share {told}, above the tolerance of 0.05"), told
        else:
            assert (row["drifted"], row["effect"]) == (None, None)
            assert row["reason"] == "every value of the reference is missing, nothing to compare"
