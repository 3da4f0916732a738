"""Laws of the canary's state machine, for every sequence of judgements, commands and clocks."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plans import LADDER, NOON, plan, rollout

from prodml_magics.errors import InvalidInput
from prodml_magics.rollouts.blue_green import rolled_back, undeployed
from prodml_magics.rollouts.canary import Judgement, advance, command, in_force, route_of
from prodml_magics.rollouts.shadow import shadowed
from prodml_magics.wire.rollouts import RolloutState
from prodml_magics.wire.routes import Route, VersionFiles


def files(version: int) -> VersionFiles:
    return VersionFiles(version, f"models/cancer/{version}", f"model {version}", f"contract {version}")


BEFORE = Route("cancer", 2, live=1, files=(files(1),))
PLAN = plan(bake=60.0, min_rows=100, deadline=3600.0)

judgements = st.builds(
    Judgement,
    requests=st.sampled_from([0, 99, 100, 5_000]),
    harm=st.sampled_from([(), (), (), ("error_rate",)]),
    no_worse=st.booleans(),
    mismatch=st.sampled_from([False, False, False, True]),
    crashed=st.sampled_from([False, False, False, False, True]),
    gone=st.sampled_from(["", "", "version 2 was deleted"]),
    unwell=st.sampled_from([(), (), (), ("error_rate",)]),
)
seconds = st.sampled_from([-7200.0, 0.0, 1.0, 61.0, 3700.0])
words = st.sampled_from(["pause", "resume", "step", "promote", "abort"])
moves = st.lists(st.one_of(st.tuples(judgements, seconds), st.tuples(words, seconds)), max_size=25)


def walk(taken: list[tuple[Judgement | str, float]]) -> tuple[list[RolloutState], list[Route]]:
    """Every state and route on the way."""
    state, now = rollout(PLAN), NOON
    states, routes = [state], [route_of(state, BEFORE, files(2))]
    for move, pause in taken:
        now += timedelta(seconds=pause)
        try:
            decision = command(state, move, now) if isinstance(move, str) else advance(state, move, now)
        except InvalidInput as error:
            assert "; " in str(error) and str(error).isprintable()
            continue
        if decision is not None:
            state = decision.state
            states.append(state)
            routes.append(route_of(state, routes[-1]))
    return states, routes


@given(moves)
def test_one_version_is_live_and_another_the_canary_and_both_are_loaded(taken: list[tuple[Judgement | str, float]]) -> None:
    for state, route in zip(*walk(taken), strict=True):
        assert route.live in (1, 2)
        assert route.live == (2 if state.phase in ("baking", "done") else 1)
        assert (route.canary is not None) == state.splits
        if route.canary is not None:
            assert (route.canary.version, route.canary.rollout) == (2, 3)
            assert 0 < route.canary.share < 1 and route.canary.share == LADDER[state.step] / 100
        assert sorted(entry.version for entry in route.files) == sorted(route.loaded())


@given(moves)
def test_the_salt_stays_so_that_keys_keep_their_arm(taken: list[tuple[Judgement | str, float]]) -> None:
    _, routes = walk(taken)
    assert len({route.canary.salt for route in routes if route.canary}) == 1


@given(moves)
def test_the_share_never_jumps_and_never_sinks(taken: list[tuple[Judgement | str, float]]) -> None:
    states, _ = walk(taken)
    steps = [state.step for state in states]
    assert all(after - before in (0, 1) for before, after in pairwise(steps))


@given(moves)
def test_what_is_over_stays_over(taken: list[tuple[Judgement | str, float]]) -> None:
    states, _ = walk(taken)
    assert all(not state.over for state in states[:-1])
    if states[-1].over:
        assert advance(states[-1], Judgement(10_000, ("error_rate",), True, True, True), NOON + timedelta(days=9)) is None
        with pytest.raises(InvalidInput, match="begin another"):
            command(states[-1], "promote", NOON)


@given(moves)
def test_the_stored_state_is_read_back_as_it_was(taken: list[tuple[Judgement | str, float]]) -> None:
    for state in walk(taken)[0]:
        assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(state)), type=RolloutState, strict=False) == state


@given(moves)
def test_replaying_what_the_ledger_keeps_gives_the_same_states_and_routes(taken: list[tuple[Judgement | str, float]]) -> None:
    """The route is never read back: it follows from the states alone, and the last state says where the rollout stands."""
    states, routes = walk(taken)
    kept = [msgspec.json.encode(state) for state in states]
    replayed = [route_of(msgspec.json.decode(kept[0], type=RolloutState), BEFORE, files(2))]
    for entry in kept[1:]:
        replayed.append(route_of(msgspec.json.decode(entry, type=RolloutState), replayed[-1]))
    assert replayed == routes
    assert in_force(states[-1], routes[-1]) == (not states[-1].over)


@given(moves)
def test_traffic_goes_to_loaded_versions_alone(taken: list[tuple[Judgement | str, float]]) -> None:
    for route in walk(taken)[1]:
        asked = {route.live, *((route.canary.version,) if route.canary else ()), *(shadow.version for shadow in route.shadows)}
        assert asked <= set(route.loaded()) == {entry.version for entry in route.files}


@given(moves, st.booleans())
def test_every_path_ends(taken: list[tuple[Judgement | str, float]], good: bool) -> None:
    """Whatever came before: with good evidence and a person who resumes, it is done; with harm and a person, it is back."""
    states, _ = walk(taken)
    state, now = states[-1], max(each.step_at for each in states)
    for _ in range(20):
        if state.over:
            break
        now += timedelta(seconds=61)
        decision = advance(state, Judgement(1_000, () if good else ("error_rate",), good), now)
        if decision is None and state.phase in ("paused", "held"):
            decision = command(state, "resume", now)
        state = decision.state if decision else state
    assert state.over


def test_a_good_candidate_walks_the_ladder_and_is_watched_before_it_is_done() -> None:
    state, now, seen = rollout(PLAN), NOON, []
    while not state.over:
        now += timedelta(seconds=60)
        decision = advance(state, Judgement(100, no_worse=True), now)
        assert decision is not None and decision.tier is None
        state = decision.state
        seen.append((decision.kind, state.phase))
    assert seen == [("step", "running")] * 3 + [("promote", "baking"), ("finish", "done")]


@pytest.mark.parametrize(
    ("step", "judged", "after", "moves"),
    [
        (0, Judgement(99, no_worse=True), 60, False),
        (0, Judgement(100, no_worse=False), 59, False),
        (0, Judgement(100, no_worse=False), 60, True),
        (1, Judgement(100, no_worse=False), 60, True),
        (2, Judgement(100, no_worse=False), 60, False),
        (2, Judgement(100, no_worse=True), 60, True),
        (3, Judgement(5_000, no_worse=False), 600, False),
        (2, Judgement(100, no_worse=True), -600, False),
    ],
)
def test_a_step_is_left_only_through_its_gate(step: int, judged: Judgement, after: float, moves: bool) -> None:
    decision = advance(rollout(PLAN, step=step), judged, NOON + timedelta(seconds=after))
    assert (decision is not None) == moves


def test_harm_is_the_way_back_from_every_phase_that_splits_and_wakes_somebody() -> None:
    for phase in ("running", "paused", "held"):
        decision = advance(rollout(PLAN, phase=phase, step=2), Judgement(1, ("latency_p99", "error_rate")), NOON)
        assert decision is not None and (decision.kind, decision.tier) == ("rollback", "immediate")
        assert decision.reason == "latency_p99 and error_rate worse at 0.25 of the traffic"


def test_when_the_split_is_unsound_no_verdict_counts_and_it_cannot_be_resumed() -> None:
    decision = advance(rollout(PLAN, step=2), Judgement(5_000, ("error_rate",), True, mismatch=True), NOON)
    assert decision is not None and (decision.kind, decision.state.phase, decision.tier) == ("pause", "paused", "immediate")
    assert advance(decision.state, Judgement(9_000, ("error_rate",), True, mismatch=True), NOON) is None
    with pytest.raises(InvalidInput, match="do not get their shares"):
        command(decision.state, "resume", NOON, mismatch=True)


def test_a_crash_is_harm_even_when_the_candidate_is_live_already() -> None:
    route = route_of(rollout(PLAN), BEFORE, files(2))
    for phase in ("running", "baking"):
        state = rollout(PLAN, phase=phase, step=3)
        route = route_of(state, route, files(2))
        decision = advance(state, Judgement(0, crashed=True), NOON)
        assert decision is not None and decision.kind == "rollback"
        back = route_of(decision.state, route)
        assert (back.live, back.canary) == (1, None)


def test_without_traffic_it_is_held_at_the_deadline_and_never_promoted() -> None:
    decision = advance(rollout(PLAN), Judgement(0), NOON + timedelta(hours=1))
    assert decision is not None and (decision.kind, decision.state.phase, decision.tier) == ("hold", "held", "daily")
    assert advance(decision.state, Judgement(5_000, no_worse=True), NOON + timedelta(days=3)) is None


def test_a_deleted_candidate_is_held_before_it_would_be_live() -> None:
    decision = advance(
        rollout(PLAN, step=3), Judgement(500, no_worse=True, gone="version 2 was deleted"), NOON + timedelta(hours=0.5)
    )
    assert decision is not None and decision.kind == "hold" and "version 2 was deleted" in decision.reason


def test_a_ladder_that_ends_below_a_hundred_waits_for_a_person() -> None:
    short = plan(steps=(5.0, 25.0), bake=60.0, min_rows=100)
    decision = advance(rollout(short, step=1), Judgement(100, no_worse=True), NOON + timedelta(seconds=60))
    assert decision is not None and decision.kind == "hold" and "ladder ends at 25 %" in decision.reason
    with pytest.raises(InvalidInput, match="the ladder of cancer ends here"):
        command(decision.state, "step", NOON)
    assert command(decision.state, "promote", NOON).state.phase == "baking"


def test_a_state_is_in_force_only_while_the_route_follows_it() -> None:
    state = rollout(PLAN)
    route = route_of(state, BEFORE, files(2))
    assert in_force(state, route) and not in_force(None, route)
    assert not in_force(state, BEFORE)
    assert not in_force(msgspec.structs.replace(state, id=9), route)
    live = route_of(command(state, "promote", NOON).state, route)
    assert in_force(command(state, "promote", NOON).state, live)
    assert not in_force(command(state, "promote", NOON).state, rolled_back(live))
    assert not in_force(command(state, "abort", NOON).state, route_of(command(state, "abort", NOON).state, route))


def test_other_changes_of_the_route_end_or_keep_the_canary() -> None:
    route = route_of(rollout(PLAN), BEFORE, files(2))
    assert (rolled_back(route).live, rolled_back(route).canary) == (1, None)
    assert undeployed(route).canary is None
    kept = shadowed(route, files(3), 1.0)
    assert kept.canary == route.canary and sorted(kept.loaded()) == [1, 2, 3]
    with pytest.raises(InvalidInput, match="version 2 of cancer is the canary"):
        shadowed(route, files(2), 1.0)
    assert route_of(rollout(PLAN), shadowed(BEFORE, files(2), 1.0)).shadows == ()
