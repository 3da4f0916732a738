"""Past rollouts decided anew: drawn so as to agree with what was recorded, and decided as they were under the plan that they had."""

from __future__ import annotations

import numpy as np
import pytest
from plans import earlier, plan, rollout, stream

from prodml_magics.rollouts.baking import Before
from prodml_magics.rollouts.evidence import Evidence, begin
from prodml_magics.rollouts.fold import Requests
from prodml_magics.rollouts.recorded import Recorded
from prodml_magics.rollouts.whatif import positions, redecide
from prodml_magics.wire.rollouts import RolloutPlan

LADDER = (5.0, 50.0, 100.0)
PLAN = plan(steps=LADDER, bake=60.0, min_rows=100)


def recorded(
    seed: int, *, share: float = 0.05, failing: tuple[float, float] = (0.0, 0.0), rows: int = 20_000, keys: int = 0
) -> Recorded:
    """Ten requests a second at one share, all the time."""
    rng = np.random.default_rng(seed)
    users = rng.integers(keys, size=rows) if keys else None
    place = rng.random(keys or rows)
    batch = stream(rng, rows, 0, steps=(share * 100,), failing=failing)
    canary = (place[users] if users is not None else place) < share
    status = np.where(rng.random(rows) < np.where(canary, failing[1], failing[0]), 500, 200)
    named = [f"u{user}" for user in users] if users is not None else [""] * rows
    return Recorded(np.arange(rows) / 10, canary, np.full(rows, share), batch._replace(status=status, key=named))


def known(chosen: RolloutPlan) -> Evidence:
    return begin(chosen, 3, latencies=earlier(np.random.default_rng(9)), before=Before(5_000, {"error_rate": 0}))


@pytest.mark.parametrize("keys", [0, 300])
def test_a_smaller_share_takes_a_part_of_whom_the_canary_had_and_a_larger_one_all_of_them(keys: int) -> None:
    given = recorded(0, share=0.25, keys=keys)
    place = positions(given, np.random.default_rng(1))
    assert ((place < 0.25) == given.candidate).all()
    small, large = place < 0.05, place < 0.5
    assert given.candidate[small].all() and large[given.candidate].all()
    shares = [len(set(np.array(given.answers.key)[each])) / keys if keys else each.mean() for each in (small, large)]
    assert shares == pytest.approx([0.05, 0.5], abs=0.08 if keys else 0.01)
    if keys:
        assert all(len(set(place[np.array(given.answers.key) == key])) == 1 for key in ("u0", "u1", "u2"))


def test_what_was_not_randomised_lies_anywhere() -> None:
    given = recorded(0)._replace(share=np.zeros(20_000))
    place = positions(given, np.random.default_rng(1))
    assert abs(np.corrcoef(place, given.candidate)[0, 1]) < 0.03 and abs(place.mean() - 0.5) < 0.01


def test_harm_that_was_recorded_is_found_with_the_same_ladder_and_costs_less_with_a_smaller_one() -> None:
    given = recorded(2, share=0.05, failing=(0.002, 0.2))
    same = redecide(rollout(PLAN), known(PLAN), given)
    assert (same.state.phase, same.lent) == ("rolled back", 0.0)
    assert "error_rate worse at 0.05" in same.state.reason and same.exposure < 100
    cautious = plan(steps=(1.0, 5.0, 100.0), bake=600.0, min_rows=100)
    smaller = redecide(rollout(cautious), known(cautious), given)
    assert smaller.state.phase == "rolled back" and smaller.lent == 0.0 and smaller.seconds > same.seconds
    larger = plan(steps=(50.0, 100.0), bake=60.0, min_rows=100)
    lent = redecide(rollout(larger), known(larger), given)
    assert lent.state.phase == "rolled back" and lent.lent > 0.5


def test_a_good_candidate_is_live_and_a_record_that_ends_is_undecided() -> None:
    good = recorded(3, share=0.5)
    found = redecide(rollout(PLAN), known(PLAN), good)
    assert (found.state.phase, found.state.step) == ("baking", 1) and 120 <= found.seconds < 1_000
    cut = Requests(*(each[:300] for each in good.answers[:6]))  # type: ignore[arg-type]
    short = Recorded(good.second[:300], good.candidate[:300], good.share[:300], cut)
    assert redecide(rollout(PLAN), known(PLAN), short).state.phase == "running"
    assert redecide(rollout(PLAN), known(PLAN), good, seed=1) == redecide(rollout(PLAN), known(PLAN), good, seed=1)


def test_all_at_once_is_held_against_the_time_before() -> None:
    at_once = plan(steps=(100.0,), bake=300.0)
    bad = recorded(4, share=0.5, failing=(0.0, 0.3))
    found = redecide(rollout(at_once, phase="baking"), known(at_once), bad)
    assert found.state.reason == "error_rate worse than before it went live" and found.exposure < 200
    fine = redecide(rollout(at_once, phase="baking"), known(at_once), recorded(5, share=0.5))
    assert (fine.state.phase, round(fine.seconds, -2)) == ("done", 300)


def test_what_came_before_the_gateway_had_begun_to_split_is_none_of_the_rollout() -> None:
    given = recorded(6, share=0.25, rows=2_000)
    late = given.second < 50
    cut = given._replace(share=np.where(late, 0.0, given.share), candidate=given.candidate & ~late)
    chosen = plan(steps=(25.0, 100.0), bake=1e6)
    found = redecide(rollout(chosen), known(chosen), cut)
    assert (found.exposure, found.lent) == (int(cut.candidate.sum()), 0.0)


def test_identical_versions_are_not_taken_back_by_answers_that_stand_in_for_others() -> None:
    """Each of the few answers that were seen is lent ten times, with whatever chance made of it."""
    larger = plan(steps=(50.0, 100.0), bake=60.0, min_rows=100)
    found = [
        redecide(rollout(larger), known(larger), recorded(seed, failing=(0.005, 0.005), rows=5_000), 100 + seed)
        for seed in range(10)
    ]
    assert all(each.state.phase != "rolled back" for each in found)
    untold = [each for each in found if each.state.phase == "paused"]
    assert 2 <= len(untold) <= 8
    for each in untold:
        assert each.state.reason.startswith("cannot be told from this record: ") and each.lent > 0.8
        assert each.state.reason.endswith("worse at 0.5 of the traffic only where answers stand in for others")


def test_what_was_seen_in_truth_says_which_guard_is_worse_where_most_answers_are_lent() -> None:
    larger = plan(steps=(50.0, 100.0), bake=60.0, min_rows=100)
    for seed in range(5):
        given = recorded(seed, failing=(0.005, 0.06), rows=8_000)
        found = redecide(rollout(larger), known(larger), given, 100 + seed)
        assert found.state.reason == "error_rate worse at 0.5 of the traffic" and found.exposure < 1_000


def test_a_candidate_that_is_worse_in_truth_is_not_called_no_worse_by_answers_that_stand_in_for_others() -> None:
    larger = plan(steps=(50.0, 100.0), bake=60.0, min_rows=100)
    given = recorded(50, failing=(0.005, 0.02), rows=10_000)
    found = redecide(rollout(larger), known(larger), given, 150)
    assert found.state.phase == "paused" and "error_rate no worse at 0.5 of the traffic only where" in found.state.reason


def test_a_decision_within_a_stretch_of_under_two_seconds_is_found() -> None:
    """A thousand seconds are looked at six hundred times: nothing lies between a look and one a second later."""
    given = recorded(0, share=0.5, failing=(0.0, 0.1), rows=10_000)
    half = plan(steps=(50.0, 100.0))
    found = redecide(rollout(half), known(half), given, 100)
    assert (found.state.phase, found.lent) == ("rolled back", 0.0) and found.seconds < 60
