"""A verdict needs an effect beyond the tolerance, a lower bound beyond it, and the agreement of the false discovery rate."""

from __future__ import annotations

import numpy as np
import pytest

from prodml_magics.errors import InvalidInput
from prodml_magics.stats.drift import Tolerances, detect, prepare
from prodml_magics.stats.drift.dataset import judge_dataset
from prodml_magics.stats.drift.ks import ks_margin, ks_rows_needed


def test_an_effect_whose_lower_bound_is_within_the_tolerance_is_undecided_and_says_how_many_rows_it_needs() -> None:
    rng = np.random.default_rng(0)
    reference = prepare({"a": rng.normal(size=50_000)})
    window = rng.normal(0.4, 1, 300)
    found = detect(reference, {"a": window})
    assert found.p_adjusted[0] < 0.001
    assert found.effect_low[0] <= 0.1 < found.effect[0]
    assert (found.drifted, found.undecided) == ([], ["a"])
    assert "too few to tell it from the tolerance of 0.1; about " in found.reason[0]
    needed = int(found.reason[0].split("about ")[1].split(" would")[0].replace(",", ""))
    assert 300 < needed < 5_000
    assert detect(reference, {"a": np.tile(window, needed // 300)}).drifted == []
    assert detect(reference, {"a": np.tile(window, -(-needed // 300))}).drifted == ["a"]


def test_rows_needed_are_those_that_bring_the_bound_to_the_tolerance() -> None:
    needed = ks_rows_needed(0.05, 100_000, 0.05)
    assert needed is not None
    assert ks_margin(100_000, needed, 0.05) <= 0.05 < ks_margin(100_000, needed - 1, 0.05)
    assert ks_rows_needed(0.05, 100, 0.05) is None


def test_unseen_categories_decide_by_their_share_where_so_many_levels_hide_them() -> None:
    rng = np.random.default_rng(1)
    levels = [f"level {i}" for i in range(300)]
    now = rng.choice(levels, 600)
    now[:120] = "never seen"
    found = detect(prepare({"a": rng.choice(levels, 3_000)}), {"a": now})
    assert found.drifted == ["a"]
    assert "20 % of the rows have unseen categories" in found.reason[0]


def test_a_column_of_rare_names_always_meets_new_ones() -> None:
    rng = np.random.default_rng(9)
    weights = 1 / np.arange(1, 1_001)
    names, p = np.array([f"name {i}" for i in range(1_000)]), weights / weights.sum()
    reference = prepare({"a": rng.choice(names, 2_000, p=p)})
    strict = Tolerances(0.99, 0.99, 0.99, unseen=0.0)
    flagged = sum(bool(detect(reference, {"a": rng.choice(names, 500, p=p)}, tolerances=strict).drifted) for _ in range(200))
    assert flagged <= 10 + 3 * 10**0.5


def test_unseen_categories_within_their_tolerance_are_no_drift() -> None:
    now = np.array(["a", "b"] * 480 + ["new"] * 40)
    found = detect(prepare({"a": np.array(["a", "b"] * 1_000)}), {"a": now})
    assert (found.drifted, found.undecided) == ([], [])
    assert detect(prepare({"a": np.array(["a", "b"] * 1_000)}), {"a": now}, tolerances=Tolerances(unseen=0.01)).drifted == ["a"]


@pytest.mark.parametrize("fdr", ["bh", "by", "ebh"])
def test_every_false_discovery_control_finds_a_gross_shift(fdr: str) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2_000, 5))
    now = rng.normal(size=(1_000, 5))
    now[:, 3] += 1
    assert detect(prepare(x), now, fdr=fdr).drifted == ["x3"]  # type: ignore[arg-type]


def test_an_unknown_false_discovery_control_is_refused() -> None:
    with pytest.raises(InvalidInput, match="unknown false discovery control 'holm'; choose bh, by, ebh"):
        detect(prepare({"a": [1.0]}), {"a": [1.0]}, fdr="holm")  # type: ignore[arg-type]


def test_a_constant_reference_has_no_ranges_and_is_still_judged() -> None:
    found = detect(prepare({"a": [5.0] * 100}), {"a": [5.0] * 60 + [6.0] * 60})
    assert found.drifted == ["a"]
    assert found.ks[0] == 0.5


def test_dates_are_told_as_dates() -> None:
    before = np.datetime64("2026-01-01T00:00", "m") + np.arange(2_000)
    found = detect(prepare({"a": before}), {"a": before + np.timedelta64(300, "D")})
    assert found.reason[0] == "KS distance 1.00: median 2026-01-01 16:40 in the reference, 2026-10-28 16:40 now"


def test_the_dataset_is_weighed_by_importance() -> None:
    names = ["a", "b", "c", "label"]
    assert judge_dataset(names, ["a"], [], {"a": 0.5, "b": 0.25, "c": 0.25}) == ("drift", 0.5, 0.5, True)
    assert judge_dataset(names, ["b"], ["a"], {"a": 0.5, "b": 0.4, "c": -0.1}).verdict == "undecided"
    assert judge_dataset(names, ["c", "label"], [], {"a": 0.5, "b": 0.4, "c": -0.1}) == ("no drift", 0.0, 0.0, True)
    assert judge_dataset(names, ["a"], ["b"], {}) == ("undecided", 0.25, 0.5, False)
    assert judge_dataset([], [], [], {}).verdict == "no drift"


def test_a_detection_weighs_by_the_importance_in_its_reference() -> None:
    rng = np.random.default_rng(3)
    x = {"a": rng.normal(size=500), "b": rng.normal(size=500)}
    found = detect(prepare(x, extras={"importance": {"a": 0.9, "b": 0.1}}), {"a": x["a"] + 5, "b": x["b"]})
    assert (found.dataset.verdict, found.dataset.share) == ("drift", 0.9)


def test_it_is_told_when_it_is_the_reference_that_has_few_rows() -> None:
    rng = np.random.default_rng(8)
    few, many = rng.normal(size=30), rng.normal(0.5, 1, 4_000)
    assert "but the reference's 30 rows are too few to tell it from" in detect(prepare({"x": few}), {"x": many}).reason[0]
    assert "but 30 rows are too few to tell it from" in detect(prepare({"x": many}), {"x": few}).reason[0]
    said = detect(prepare({"x": few[:1]}), {"x": many}).reason[0]
    assert said == "the reference's 1 row is too few to tell; 20 are needed"
    levels = np.array(["a", "b"] * 6)
    assert detect(prepare({"x": levels}), {"x": np.repeat(levels, 9)}).reason[0].startswith("the reference's 12 rows are too few")
