"""Pairs of answers: counts add up in any cut, verdicts hold their error, labels have the last word."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml_magics.rollouts.paired import PairedTally, Pairs, Tolerances, counted, judged
from prodml_magics.stats.sequential.block_pairs import STAKES, log_mean_of

T = Tolerances()


def pairs(
    rng: np.random.Generator, rows: int, *, differs: float = 0.0, moved: float = 0.0, labels: float = 0.0, gain: float = 0.0
) -> Pairs:
    """`labels` is the share with a label, `gain` how much more often the candidate is right there."""
    other = rng.random(rows) < differs
    score = np.clip(rng.normal(moved, 0.05, rows), -1, 1)
    drawn = rng.random(rows)
    gained = np.where(drawn < 0.05 + gain / 2, 1.0, np.where(drawn < 0.1, -1.0, 0.0))
    gained[rng.random(rows) >= labels] = np.nan
    place = rng.integers(0, 4, rows)
    return Pairs(np.zeros(rows, bool), other, score, gained, {f"city = {each}": place == each for each in range(4)})


def of(batch: Pairs, cut: slice) -> Pairs:
    return Pairs(*(each[cut] for each in batch[:4]), {name: mask[cut] for name, mask in batch.slices.items()})


@given(st.integers(0, 60), st.integers(0, 60))
def test_counts_are_the_same_in_any_cut(first: int, second: int) -> None:
    batch = pairs(np.random.default_rng(first), first + second, differs=0.2, labels=0.5)
    whole = counted(PairedTally(), batch, T)
    cut = counted(counted(PairedTally(), of(batch, slice(first)), T), of(batch, slice(first, None)), T)
    assert (cut.pairs, cut.differed, cut.gained, cut.slices) == (whole.pairs, whole.differed, whole.gained, whole.slices)
    assert cut.moved == pytest.approx(whole.moved) and np.allclose(cut.gains, whole.gains)


def test_the_label_evidence_equals_a_slow_loop_over_rows() -> None:
    batch = pairs(np.random.default_rng(0), 500, labels=1.0, gain=0.1)
    found = judged(counted(PairedTally(), batch, T), T)
    capital = np.mean([math.prod(1 + stake * (0.02 + gained) / 1.02 for gained in batch.gained) for stake in STAKES])
    assert found.e_no_worse == pytest.approx(capital) or found.verdict == "undecided"
    lost = np.mean([math.prod(1 - stake * gained for gained in batch.gained) for stake in STAKES])
    assert (found.verdict, found.labelled) == ("better", 500) and found.e_worse == pytest.approx(lost)
    assert found.accuracy_difference == pytest.approx(batch.gained.mean())


def test_identical_answers_are_no_worse_after_some_hundreds_of_pairs_and_none_needs_saying() -> None:
    rng = np.random.default_rng(1)
    few = judged(counted(PairedTally(), pairs(rng, 50), T), T)
    assert few.verdict == "undecided" and few.pairs_needed is not None and 500 < few.pairs_needed < 1_000
    many = judged(counted(PairedTally(), pairs(rng, 2_000), T), T)
    assert (many.verdict, many.slices, many.pairs_needed) == ("no worse", (), None)
    assert "differs on 0.00 % of 2,000 rows, 2.00 % are allowed" in many.reason
    assert judged(PairedTally(), T).reason == "no pair yet"


@pytest.mark.parametrize("how", [{"differs": 0.06}, {"moved": 0.05}])
def test_what_differs_beyond_its_tolerance_is_worse(how: dict[str, float]) -> None:
    found = judged(counted(PairedTally(), pairs(np.random.default_rng(2), 3_000, **how), T), T)
    assert found.verdict == "worse"


def test_a_candidate_that_fails_where_the_live_version_answers_is_worse() -> None:
    batch = pairs(np.random.default_rng(3), 2_000)
    failed = np.arange(2_000) % 50 == 0
    moved = np.where(failed, np.nan, batch.moved)
    found = judged(counted(PairedTally(), batch._replace(failed=failed, differs=failed, moved=moved), T), T)
    assert found.verdict == "worse" and "failed on 40" in found.reason


def test_a_slice_that_differs_is_named_though_the_whole_hardly_does() -> None:
    rng = np.random.default_rng(4)
    batch = pairs(rng, 20_000)
    bad = batch.slices["city = 2"] & (rng.random(20_000) < 0.06)
    found = judged(counted(PairedTally(), batch._replace(differs=bad), T), T)
    assert (found.verdict, found.slices) == ("worse", ("city = 2",))


def test_labels_have_the_last_word() -> None:
    rng = np.random.default_rng(5)
    better = judged(counted(PairedTally(), pairs(rng, 5_000, differs=0.1, labels=1.0, gain=0.06), T), T)
    assert better.verdict == "better" and "rows with a label" in better.reason
    worse = judged(counted(PairedTally(), pairs(rng, 5_000, labels=1.0, gain=-0.06), T), T)
    assert worse.verdict == "worse"
    none = judged(counted(PairedTally(), pairs(rng, 5_000, labels=0.001), T), T)
    assert none.verdict == "no worse"


@pytest.mark.parametrize(
    ("how", "wrong"), [({"differs": 0.02}, ("no worse", "worse")), ({"labels": 1.0, "gain": 0.0}, ("better", "worse"))]
)
def test_at_the_boundary_a_wrong_word_is_rare_at_all_looks_together(how: dict[str, float], wrong: tuple[str, ...]) -> None:
    rng = np.random.default_rng(6)
    runs, ever = 80, dict.fromkeys(wrong, 0)
    for _ in range(runs):
        tally, said = PairedTally(), set()
        for _ in range(10):
            tally = counted(tally, pairs(rng, 400, **how), T)
            said.add(judged(tally, T).verdict)
        for word in wrong:
            ever[word] += word in said
    assert all(count / runs <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs) for count in ever.values()), ever


def test_the_mean_capital_is_one_at_the_boundary_of_the_score() -> None:
    """Two rows, each moving the score by plus or minus one half with the mean at the margin."""
    up = 0.5 + T.score
    mean = 0.0
    for first in (0.5, -0.5):
        for second in (0.5, -0.5):
            weight = math.prod(up if each > 0 else 1 - up for each in (first, second))
            none = np.zeros(2, bool)
            batch = Pairs(none, none, np.array([first, second]), np.full(2, np.nan), {})
            mean += weight * math.exp(float(log_mean_of(counted(PairedTally(), batch, T).gains[2])))
    assert mean == pytest.approx(1.0)


def test_it_is_kept_as_a_record() -> None:
    tally = counted(PairedTally(), pairs(np.random.default_rng(7), 100, labels=0.5), T)
    assert msgspec.json.decode(msgspec.json.encode(tally), type=PairedTally) == tally
