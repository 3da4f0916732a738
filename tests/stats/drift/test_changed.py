"""Columns of one side only, and columns that hold another kind of values: a row each, drifted without a test."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from prodml_magics.stats.drift import detect, from_arrow, prepare, to_arrow

RNG = np.random.default_rng(3)
STATISTICS = ("ks", "wasserstein", "psi", "js", "chi2", "tv", "p_value", "p_adjusted", "effect", "effect_low", "tolerance")


def test_vanished_and_new_columns_are_rows_and_the_common_ones_are_judged_as_if_alone() -> None:
    before = {"gone": RNG.normal(size=300), "moved": RNG.normal(size=300), "same": RNG.choice(list("ab"), 300)}
    now = {"same": RNG.choice(list("ab"), 200), "moved": RNG.normal(2, 1, 200), "new": [1.0, math.nan] * 100}
    found = detect(prepare(before), now)
    assert found.names == ("gone", "moved", "same", "new")
    assert (found.drifted, found.undecided, found.changed) == (["gone", "moved", "new"], [], ("gone", "new"))
    rows = {row["column"]: row for row in found.frame.to_dicts()}
    for name, reason, sizes in (("gone", "column vanished", (300, 0)), ("new", "new column", (0, 200))):
        row = rows[name]
        assert (row["drifted"], row["reason"], row["kind"]) == (True, reason, "numeric")
        assert (row["n_reference"], row["n_current"]) == sizes
        assert [row[each] for each in STATISTICS] == [None] * len(STATISTICS)
    assert (rows["gone"]["missing_current"], rows["new"]["missing_reference"], rows["new"]["missing_current"]) == (
        None,
        None,
        0.5,
    )
    alone = detect(prepare({name: before[name] for name in ("moved", "same")}), {name: now[name] for name in ("moved", "same")})
    common = [found.names.index(name) for name in alone.names]
    for name in STATISTICS:
        np.testing.assert_array_equal(getattr(found, name)[common], getattr(alone, name))


def test_a_vanished_column_carries_its_importance() -> None:
    before = {"heavy": RNG.normal(size=100), "light": RNG.normal(size=100)}
    reference = prepare(before, extras={"importance": {"heavy": 0.8, "light": 0.2}})
    assert detect(reference, {"light": before["light"]}).dataset == ("drift", 0.8, 0.8, True)
    assert detect(reference, {"heavy": before["heavy"]}).dataset.verdict == "no drift"


SIDES: dict[str, Any] = {
    "numbers": np.arange(200.0),
    "dates": np.arange(200).astype("M8[D]"),
    "durations": np.arange(200).astype("m8[s]"),
    "text": np.array([f"text {i}" for i in range(200)]),
    "vectors": RNG.normal(size=(200, 3)),
}


@pytest.mark.parametrize("now", SIDES)
@pytest.mark.parametrize("before", SIDES)
def test_another_kind_of_values_is_a_row_that_says_what_either_side_holds(before: str, now: str) -> None:
    reference = from_arrow(to_arrow(prepare({"a": SIDES[before], "b": np.arange(200.0)})))
    found = detect(reference, {"a": SIDES[now], "b": np.arange(200.0)})
    if before == now:
        assert (found.drifted, found.changed) == ([], ())
        return
    assert (found.drifted, found.changed) == (["a"], ("a",))
    assert np.isnan(found.effect[0])
    assert found.reason[0].startswith(("held ", "holds "))
    assert before in found.reason[0]
    assert now in found.reason[0] or "give one vector per row" in found.reason[0]


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        ([1.0, 2.0], ["2", "n/a"], "held numbers in the reference and holds text such as 'n/a' now"),
        ([1.0, 2.0], pl.Series(["old"]), "held numbers in the reference and holds text such as 'old' now"),
        ([1.0, 2.0], np.array([1j]), "held numbers in the reference and holds complex numbers now"),
        (["a", "b"], np.ones((2, 3)), "held categories in the reference and holds vectors now"),
        (np.ones((2, 3)), np.ones((2, 4)), "held vectors of 3 numbers in the reference and of 4 now"),
    ],
)
def test_values_that_do_not_fit_are_told_by_example(before: Any, now: Any, reason: str) -> None:
    values = np.array(now, dtype=object) if isinstance(now, list) else now
    found = detect(prepare({"a": before}), {"a": values}, methods=["psi", "mmd"])
    assert (found.drifted, found.reason) == (["a"], (reason,))


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ([1.0, 2.0], [True, False]),
        ([1.0, 2.0], np.array(["1", "2"], dtype=object)),
        ([1.0, 2.0], np.array([None, None], dtype=object)),
        ([1.0, 2.0], np.array([], dtype=str)),
        ([True, False], [0, 1]),
        (["1", "2"], [1.0, 2.0]),
        ([None, None], [1.0, 2.0]),
    ],
)
def test_what_can_be_read_as_the_reference_is_compared(before: Any, now: Any) -> None:
    assert detect(prepare({"a": before}), {"a": now}).changed == ()


def test_new_columns_of_every_kind_are_named_by_it() -> None:
    now = {"a": [1.0] * 200, **{f"new {name}": values for name, values in SIDES.items()}, "flags": [True] * 200, "z": [1j] * 200}
    found = detect(prepare({"a": [1.0] * 200}), now)
    assert found.kind == ("numeric", "numeric", "numeric", "numeric", "text", "embedding", "categorical", "categorical")
    assert set(found.reason[1:]) == {"new column"}
