"""Label-based evidence: pairs in the order of labels, the interval, the share of labels of each arm, and false alarms."""

from __future__ import annotations

from itertools import product

import msgspec
import numpy as np
import pytest
from plans import LADDER, earlier, plan, rollout

from prodml_magics.errors import UsageError
from prodml_magics.rollouts.evidence import begin
from prodml_magics.rollouts.guards import read_guards
from prodml_magics.rollouts.judge import judge, latched
from prodml_magics.rollouts.means import Units, log_lower, tally_of, with_beginnings
from prodml_magics.rollouts.verdicts import verdicts
from prodml_magics.stats.sequential.block_pairs import STAKES, log_mean_of

SHARES = tuple(step / 100 for step in LADDER)
GUARDED = plan(guards=read_guards("error_rate,accuracy", "accuracy=0.05"))


def units(rng: np.random.Generator, count: int, step: int, right: tuple[float, float]) -> Units:
    """Labelled answers of one step; `right` are the accuracies of control and canary."""
    canary = rng.random(count) < SHARES[step]
    return Units(canary, np.full(count, step), (rng.random(count) < np.where(canary, right[1], right[0])).astype(float))


def joined(*parts: Units) -> Units:
    return Units(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def test_the_capital_equals_a_slow_loop_over_blocks_of_every_step() -> None:
    rng = np.random.default_rng(0)
    both = joined(units(rng, 300, 2, (0.9, 0.8)), units(rng, 200, 3, (0.9, 0.8)), units(rng, 100, 1, (0.9, 0.8)))
    found = tally_of(both, SHARES, 0.05, 1.0, 0.05)
    expected = np.zeros(len(STAKES))
    blocks = 0
    for step, size in ((1, 19), (2, 3), (3, 1)):
        mine = [(bool(c), v) for c, s, v in zip(*both, strict=True) if s == step]
        canary, control = [v for c, v in mine if c], [v for c, v in mine if not c]
        for index in range(min(len(canary), len(control) // size)):
            d = canary[index] - sum(control[index * size : (index + 1) * size]) / size
            expected += [np.log(1 + stake * (0.05 + d) / 1.05) for stake in STAKES]
            blocks += 1
    assert found.blocks == blocks > 50
    assert found.no_worse == pytest.approx(expected)
    assert sum(found.units) == 600 and sum(found.sums) == both.value.sum()
    assert found.variance == pytest.approx(both.value.var())


def test_the_mean_capital_over_all_answers_is_one_when_the_arms_are_alike() -> None:
    """Two blocks at half the traffic, every path of right and wrong, whatever the accuracy."""
    for right in (0.3, 0.9):
        mean = 0.0
        for rows in product((0.0, 1.0), repeat=4):
            weight = np.prod([right if row else 1 - right for row in rows])
            batch = Units(np.array([True, False, True, False]), np.full(4, 3), np.array(rows))
            mean += weight * np.exp(float(log_mean_of(tally_of(batch, SHARES, 0.05, 1.0, 0.05).harm)))
        assert mean == pytest.approx(1.0)


def test_the_interval_holds_the_true_difference_and_narrows() -> None:
    rng = np.random.default_rng(1)
    few, many = units(rng, 400, 3, (0.9, 0.85)), units(rng, 8_000, 3, (0.9, 0.85))
    first, second = (tally_of(each, SHARES, 0.05, 1.0, 0.05) for each in (few, many))
    assert first.low < -0.05 < first.high and second.low < -0.05 < second.high
    assert second.high - second.low < 0.3 * (first.high - first.low)
    assert second.high < 0  # what the interval leaves out, the bet on it has shown
    nothing = tally_of(units(rng, 0, 0, (1, 1)), SHARES, 0.05, 1.0, 0.05)
    assert (nothing.low, nothing.high, nothing.units, nothing.blocks) == (-1.0, 1.0, (0, 0), 0)


def test_it_covers_the_difference_at_every_look_together() -> None:
    rng = np.random.default_rng(2)
    missed = 0
    for _ in range(60):
        both = units(rng, 2_000, 3, (0.9, 0.9))
        looks = [tally_of(Units(*(each[:n] for each in both)), SHARES, 0.05, 1.0, 0.05) for n in (100, 300, 600, 1_000, 2_000)]
        missed += any(not each.low <= 0 <= each.high for each in looks)
    assert missed / 60 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)


def test_labels_that_come_for_one_arm_alone_void_the_comparison() -> None:
    rng = np.random.default_rng(3)
    both = units(rng, 20_000, 2, (0.9, 0.7))
    lost = both.canary & (rng.random(20_000) < 0.5)
    kept = tally_of(Units(*(each[~lost] for each in both)), SHARES, 0.05, 1.0, 0.05)
    assert kept.mismatch and not tally_of(both, SHARES, 0.05, 1.0, 0.05).mismatch
    evidence = latched(GUARDED, begin(GUARDED, 3, latencies=earlier(rng)))
    state = rollout(GUARDED, step=2)

    void = msgspec.structs.replace(evidence, means={"accuracy": kept}, passed=("accuracy", "error_rate"))
    assert judge(state, void).harm == () and not judge(state, void).no_worse
    assert "labels do not come for the arms in their shares" in verdicts(state, void)[1].note


def test_lower_accuracy_is_harm_and_equal_accuracy_is_no_worse() -> None:

    rng = np.random.default_rng(4)
    state, evidence = rollout(GUARDED, step=3), begin(GUARDED, 3, latencies=earlier(rng))
    bad = tally_of(units(rng, 6_000, 3, (0.9, 0.8)), SHARES, 0.05, 1.0, 0.05)
    worse = latched(GUARDED, msgspec.structs.replace(evidence, means={"accuracy": bad}))
    assert judge(state, worse).harm == ("accuracy",)
    said = verdicts(state, worse)[1]
    assert (said.verdict, said.of) == ("worse", "difference") and said.high is not None and said.high < 0
    assert said.canary_mean == pytest.approx(0.8, abs=0.03) and said.canary_rows + said.control_rows == 6_000
    good = tally_of(units(rng, 6_000, 3, (0.9, 0.9)), SHARES, 0.05, 1.0, 0.05)
    fine = latched(GUARDED, msgspec.structs.replace(evidence, means={"accuracy": good}))
    assert fine.passed == ("accuracy",) and verdicts(state, fine)[1].verdict == "no worse"
    assert verdicts(state, evidence)[1].note == "no label has come yet; give them with %labels"


def test_looked_at_after_every_batch_equal_accuracy_is_rarely_called_worse() -> None:
    rng = np.random.default_rng(5)
    runs = 100
    called = 0
    for _ in range(runs):
        both = units(rng, 4_000, 2, (0.92, 0.92))
        differences = [
            log_mean_of(tally_of(Units(*(each[:n] for each in both)), SHARES, 0.05, 1.0, 0.5).harm)
            for n in range(800, 4_001, 800)
        ]
        called += max(differences) >= np.log(20)
    assert called / runs <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize(
    ("margins", "said"),
    [
        ("accuracy=5%", "a margin of accuracy is a difference, not 5%; write accuracy=0.02"),
        ("accuracy=x", "is no margin; write accuracy=0.02"),
        ("accuracy=2", "is no margin; write accuracy=0.02"),
    ],
)
def test_a_margin_of_accuracy_is_a_difference(margins: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_guards("accuracy", margins)
    assert said in str(caught.value)


def late(rng: np.random.Generator, count: int, onset: int, right: tuple[float, float]) -> list[Units]:
    """Labelled answers of the 25 % step in batches of 400; the canary's get worse after `onset` of them."""
    return [units(rng, 400, 2, (right[0], right[0] if start < onset else right[1])) for start in range(0, count, 400)]


def until(parts: list[Units], *, beginnings: bool) -> float:
    """Units until harm is shown; inf when it is not."""
    known = None
    for index in range(2, len(parts), 2):
        tally = tally_of(joined(*parts[: index + 1]), SHARES, 0.05, 1.0, 0.05)
        known = with_beginnings(tally, known)
        if (log_lower(known) if beginnings else log_mean_of(known.harm)) >= np.log(20):
            return 400.0 * (index + 1)
    return float("inf")


def test_harm_that_begins_late_is_seen_sooner_from_a_later_beginning() -> None:
    rng = np.random.default_rng(6)
    runs = [late(rng, 14_000, 9_600, (0.9, 0.75)) for _ in range(3)]
    later, never = ([until(parts, beginnings=wanted) for parts in runs] for wanted in (True, False))
    assert sum(later) < sum(never) and min(later) > 9_600


def test_a_beginning_is_what_was_there_and_the_mean_over_all_answers_stays_one() -> None:
    rng = np.random.default_rng(7)
    few, more = units(rng, 1_200, 2, (0.9, 0.9)), units(rng, 2_400, 2, (0.9, 0.9))
    first = with_beginnings(tally_of(few, SHARES, 0.05, 1.0, 0.05), None)
    assert len(first.begun) == 1 and first.begun[0] == first.harm
    second = with_beginnings(tally_of(joined(few, more), SHARES, 0.05, 1.0, 0.05), first)
    assert second.begun[0] == first.harm and len(second.begun) == 2
    blank = msgspec.structs.replace(first, begun=())
    assert log_lower(blank) == pytest.approx(float(np.logaddexp(log_mean_of(first.harm), 0.0)) - np.log(2))
