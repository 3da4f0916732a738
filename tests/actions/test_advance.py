"""The controller's part in rollouts, with a clock moved by hand and requests written as a worker writes them; nothing is served."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rehearsal import Controller, Traffic, begin, clock, kept, switch_at_once

from prodml_magics.actions import advance
from prodml_magics.actions.canary import begin_canary, broken_clients
from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.plan import plan as plan_ladder
from prodml_magics.actions.rollback import rollback, undeploy
from prodml_magics.actions.rollout import evidence_of, rollout
from prodml_magics.actions.shadow import shadow
from prodml_magics.actions.status import status
from prodml_magics.actions.switch import switch
from prodml_magics.actions.timeline import timeline
from prodml_magics.actions.undo import undo
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import Conflict, GateRefused, InvalidInput, NotFound, ProdmlError, Unavailable, UsageError
from prodml_magics.rollouts.guards import read_guards
from prodml_magics.wire.requests import Deploy, Plan, Rollback, Rollout, Shadow, Status, Timeline, Undeploy, Undo
from prodml_magics.wire.routes import Segment


def test_a_good_candidate_walks_the_ladder_to_its_end(home: Workspace) -> None:
    traffic, controller = Traffic(home, 0), Controller(home)
    traffic.send(400)  # what the thresholds are taken from
    controller.look()
    begin(home)
    phases = []
    for _ in range(40):
        traffic.send(800)
        clock(home).advance(61)
        if controller.look():
            state = home.rollout("cancer")
            assert state is not None
            phases.append((state.phase, state.step))
            if state.over:
                break
    assert phases == [("running", 1), ("running", 2), ("baking", 2), ("done", 2)]
    route = home.route("cancer")
    assert (route.live, route.previous, route.canary) == (2, 1, None)
    assert [event.actor for event in home.ledger.events("cancer")[-4:]] == ["ann@laptop (test)"] * 4
    entries = timeline(home, Timeline(model="cancer")).record.entries
    assert [each.kind for each in entries[-5:]] == ["canary", "step", "step", "promote", "finish"]
    assert [each.live for each in entries[-5:]] == [1, 1, 1, 2, 2]
    assert [each.share for each in entries[-5:]] == [0.05, 0.25, 0.5, None, None]
    assert timeline(home, Timeline(model="cancer")).picture() is not None
    assert "ladder: 5 % → 25 % → 50 % → [100 %]" in str(rollout(home, Rollout(model="cancer")))


@pytest.mark.parametrize(("how", "guard"), [({"failing": 0.2}, "error_rate"), ({"slow": 4.0}, "latency_p99")])
def test_a_bad_candidate_is_back_at_once_with_an_alert_and_its_evidence(
    home: Workspace, how: dict[str, float], guard: str
) -> None:
    traffic, controller = Traffic(home, 1, **how), Controller(home)
    traffic.send(400)
    controller.look()
    begin(home)
    for _ in range(20):
        traffic.send(300)
        if controller.look():
            break
    route, event = home.route("cancer"), home.ledger.events("cancer")[-1]
    assert (route.live, route.canary, route.loaded()) == (1, None, (1,))
    assert (event.kind, event.payload["tier"], event.inverse) == ("rollback", "immediate", None)
    assert event.payload["text"] == f"cancer@2: {guard} worse at 0.05 of the traffic"
    assert next(each["verdict"] for each in event.payload["verdicts"] if each["metric"] == guard) == "worse"
    assert f"{guard} worse (e " in timeline(home, Timeline(model="cancer")).frame["evidence"][-1]
    shown = rollout(home, Rollout(model="cancer"))
    assert (shown.phase, shown.verdict) == ("rolled back", "worse")
    assert f"why: {guard} worse" in str(shown) and shown.picture() is not None and shown.frame.height == 2
    controller.look()
    assert home.ledger.events("cancer")[-1].id == event.id
    with pytest.raises(InvalidInput, match="ended a rollout, which cannot be taken up again"):
        undo(home, Undo(id=event.id))


@pytest.mark.parametrize("keys", [0, 60])
def test_whoever_is_killed_whenever_goes_on_with_the_same_evidence(home: Workspace, keys: int) -> None:
    traffic, steady = Traffic(home, 2, failing=0.02, keys=keys), Controller(home)
    traffic.send(300)
    steady.look()
    begin(home)
    rng = np.random.default_rng(3)
    copies = []
    for _ in range(6):
        traffic.send(150)
        steady.draining.drain()
        if rng.random() < 0.5:
            steady.killed()  # between the lake and the evidence: what was drained is known to the lake alone
        steady.advancing.advance()
        copies.append(kept(home))
    rows = home.lake.rows("cancer", statuses=None)
    mine = rows.filter(rows["rollout"] == copies[-1].rollout)
    assert sum(map(sum, copies[-1].requests)) == mine.height == 900
    assert sum(copies[-1].requests[1]) == mine.filter(mine["arm"] == "canary").height
    failed = mine.filter(mine["status"] >= 500)
    assert sum(map(sum, copies[-1].counts[0])) == (failed["key"].n_unique() if keys else failed.height)
    never = Controller(home)
    never.advancing.advance()
    assert kept(home) == copies[-1]  # nothing is counted twice


def test_evidence_is_the_same_as_without_any_kill(home: Workspace) -> None:
    traffic, steady = Traffic(home, 4, failing=0.02), Controller(home)
    traffic.send(300)
    steady.look()
    state = begin(home)
    for _ in range(5):
        traffic.send(150)
        steady.look()
    expected = kept(home)
    rows = home.lake.rows("cancer", statuses=None)
    home.ledger.keep_evidence("cancer", -1, b"{}")  # all that was kept is lost
    read = advance._rows(home, state)
    assert read.height == 750 and "inputs" not in read.columns, "none of before the rollout, however many these are"
    other = Controller(home)
    other.advancing.advance()
    again = evidence_of(home, state)
    assert again is not None and rows.height == 1_050
    assert (again.requests, again.counts, again.thresholds, again.marks) == (
        expected.requests, expected.counts, expected.thresholds, expected.marks,
    )  # fmt: skip


def test_a_clock_that_goes_back_only_makes_it_wait_and_silence_is_held_at_the_deadline(home: Workspace) -> None:
    traffic, controller = Traffic(home, 5), Controller(home)
    begin(home)
    traffic.send(3_000)
    clock(home).advance(-600)
    assert controller.look() == 0
    clock(home).advance(700)
    assert controller.look() == 1
    clock(home).advance(3_700)
    assert controller.look() == 1
    state = home.rollout("cancer")
    assert state is not None and (state.phase, state.step) == ("held", 1)
    event = home.ledger.events("cancer")[-1]
    assert (event.kind, event.payload["tier"]) == ("hold", "daily") and "undecided after" in event.payload["text"]
    assert rollout(home, Rollout(model="cancer")).waits_for.startswith("a person")


def test_a_rollout_waits_for_what_is_still_missing_in_its_step_and_for_nothing_that_has_been(home: Workspace) -> None:
    def waits() -> str:
        found: str = rollout(home, Rollout(model="cancer")).waits_for
        return found

    traffic, controller = Traffic(home, 3), Controller(home)
    traffic.send(300)
    controller.look()
    begin(home, steps=(20.0, 50.0, 100.0), min_rows=1_500, bake=86_400.0)
    assert waits() == "1,500 canary requests and 24 h in this step"
    traffic.send(9_000)
    assert controller.look() == 0
    assert waits() == "24 h in this step"
    clock(home).advance(86_400)
    assert waits() == "the next look of the controller"


def test_it_is_steered_by_hand(home: Workspace) -> None:
    begin(home)
    assert rollout(home, Rollout(model="cancer", pause=True, why="lunch")).phase == "paused"
    assert home.ledger.events("cancer")[-1].cause == "asked for: lunch"
    assert rollout(home, Rollout(model="cancer", resume=True)).phase == "running"
    stepped = rollout(home, Rollout(model="cancer", step=True))
    assert (stepped.phase, stepped.step) == ("running", 1)
    canary = home.route("cancer").canary
    assert canary is not None and canary.share == 0.25
    assert status(home, Status()).record.models[0].rollout == "running"
    assert "2 at 0.25, running" in str(status(home, Status()))
    assert rollout(home, Rollout(model="cancer", promote=True)).version == 2
    undone = undo(home, Undo())
    assert (undone.version, home.route("cancer").canary) == (1, None)
    assert Controller(home).look() == 0
    with pytest.raises(InvalidInput, match="begin another with %deploy cancer@VERSION --canary 1,5,25,50,100"):
        rollout(home, Rollout(model="cancer", resume=True))


@pytest.mark.parametrize("way", ["rollback", "undeploy", "undo", "abort"])
def test_every_way_back_ends_the_rollout(home: Workspace, way: str) -> None:
    begin(home)
    if way == "abort":
        rollout(home, Rollout(model="cancer", abort=True))
    else:
        action = {"rollback": (rollback, Rollback(model="cancer")), "undeploy": (undeploy, Undeploy(model="cancer"))}
        run, request = action.get(way, (undo, Undo()))
        run(home, request)  # type: ignore[operator]
    route, state = home.route("cancer"), home.rollout("cancer")
    assert route.canary is None and route.live == (None if way == "undeploy" else 1)
    assert state is not None and state.phase == "aborted"
    traffic, controller = Traffic(home, 6), Controller(home)
    if way != "undeploy":
        traffic.send(10)
    clock(home).advance(9_999)
    assert controller.look() == 0
    assert rollout(home, Rollout(model="cancer")).phase == "aborted"


def test_a_shadow_beside_the_canary_leaves_it_alone(home: Workspace) -> None:
    begin(home)
    before = home.route("cancer")
    from prodml_magics.rollouts.shadow import shadowed

    switch(home, before, shadowed(before, home.files("cancer", 3), 1.0), kind="shadow", cause="")
    traffic, controller = Traffic(home, 7), Controller(home)
    traffic.send(3_000)
    clock(home).advance(61)
    assert controller.look() == 1
    route = home.route("cancer")
    assert route.canary is not None and route.canary.share == 0.25 and len(route.shadows) == 1
    with pytest.raises(InvalidInput, match="version 2 of cancer is the canary"):
        shadow(home, Shadow(model="cancer@2"))


def test_a_dry_run_says_what_would_be_and_changes_nothing(home: Workspace) -> None:
    last = home.ledger.last_id()
    planned = deploy(home, Deploy(model="cancer@2", canary="5,25,100", dry_run=True))
    assert (planned.phase, planned.version, planned.event) == ("planned", 1, None)
    assert "cancer@2 would begin at 5 %; nothing was changed" in str(planned)
    assert planned.changes[:2] == ("canary version: none → 2", "canary share: none → 0.05")
    assert planned.changes[-2:] == (
        "loaded: 1 → 1, 2",
        "rollout: running, version 2 against 1, 5 % → 25 % → 100 %, each at least 10 min; worse is error_rate by 0.005, "
        "latency_p99 by 20%, alpha 0.05",
    )
    at_once = deploy(home, Deploy(model="cancer@2", blue_green=True, keep="30d", dry_run=True))
    assert "version 2 would be live and version 1 previous" in str(at_once)
    assert at_once.changes == (
        "live: 1 → 2",
        "previous: none → 1",
        "serving keep_seconds: none → 2592000.0",
        "loaded: 1 → 2, 1",
        "rollout: baking, version 2 against 1, watched 5 min; worse is error_rate by 0.005, latency_p99 by 20%, alpha 0.05",
    )
    assert all(line in str(at_once) for line in at_once.changes)
    assert home.ledger.last_id() == last


def test_a_dry_run_where_nothing_is_live_says_what_would_be(workspace: Workspace) -> None:
    planned = deploy(workspace, Deploy(model="cancer@2", dry_run=True))
    assert "cancer: nothing was changed; version 2 would be live" in str(planned)
    assert workspace.route("cancer").live is None


def test_a_canary_of_a_segment_says_how_it_splits_and_waits_for_a_person_before_it_is_live_for_all(home: Workspace) -> None:
    request = Deploy(model="cancer@2", canary="5,25,100", key="mean radius", segment="mean texture=3", dry_run=True)
    planned = deploy(home, request)
    assert (planned.key, planned.segment) == ("mean radius", "mean texture=3")
    assert "split: only mean texture=3, by mean radius" in str(planned)
    assert {"serving key: none → mean radius", "canary key: none → mean radius"} <= set(planned.changes)
    traffic, controller = Traffic(home, 12), Controller(home)
    segment, guards = Segment("mean texture", "3"), read_guards("error_rate", "")
    begin(home, steps=(50.0, 100.0), key="mean radius", segment=segment, guards=guards)
    canary = home.route("cancer").canary
    assert canary is not None and (canary.key, canary.segment) == ("mean radius", segment)
    for _ in range(6):
        traffic.send(600)
        clock(home).advance(30)
        if controller.look():
            break
    state = home.rollout("cancer")
    assert state is not None and state.phase == "held"
    assert state.reason == "only mean texture=3 was compared; promote it for all traffic, or abort it"
    assert rollout(home, Rollout(model="cancer", promote=True)).version == 2


@pytest.mark.parametrize(("how", "guard"), [({"failing": 0.1}, "error_rate"), ({"slow": 3.0}, "latency_p99")])
def test_a_version_that_took_all_traffic_goes_back_when_it_is_worse_than_what_was_before(
    home: Workspace, how: dict[str, float], guard: str
) -> None:
    traffic, controller = Traffic(home, 9, **how), Controller(home)
    traffic.send(600)
    controller.look()
    began = switch_at_once(home, bake="10m")
    for second in range(60):
        traffic.send(5)
        clock(home).advance(1)
        if second == 20:
            controller.killed()
        if controller.look():
            break
    route, event = home.route("cancer"), home.ledger.events("cancer")[-1]
    assert (route.live, route.previous, event.kind, event.payload["tier"]) == (1, 2, "rollback", "immediate")
    assert event.payload["text"] == f"cancer@2: {guard} worse than before it went live"
    shown = rollout(home, Rollout(model="cancer"))
    assert (shown.phase, shown.verdict, shown.began_at) == ("rolled back", "worse", began.began_at)
    said = next(each for each in shown.guards if each.metric == guard)
    assert said.verdict == "worse" and said.canary_events >= 3 and said.control_rows == 600
    assert "against the traffic before, not beside it" in said.note and shown.picture() is not None


def test_a_version_that_took_all_traffic_and_is_as_before_is_done_after_its_bake(home: Workspace) -> None:
    traffic, controller = Traffic(home, 10, keys=40), Controller(home)
    traffic.send(600)
    controller.look()
    switch_at_once(home)
    for second in range(0, 300, 5):
        traffic.send(20)
        clock(home).advance(5)
        if second == 100:
            middle = kept(home)
            controller.killed()
        assert controller.look() == (second == 295)
    assert kept(home).baked.requests == 1_200 > middle.baked.requests
    assert kept(home).baked.units == 40  # a key counts once
    state = home.rollout("cancer")
    assert state is not None and (state.phase, home.route("cancer").live, home.route("cancer").previous) == ("done", 2, 1)
    assert home.ledger.events("cancer")[-1].kind == "finish"


def test_a_canary_that_turns_bad_once_it_is_live_goes_back_as_well(home: Workspace) -> None:
    traffic, controller = Traffic(home, 11, failing=0.1), Controller(home)
    traffic.send(600)
    controller.look()
    begin(home)
    rollout(home, Rollout(model="cancer", promote=True))
    for _ in range(20):
        traffic.send(30)
        clock(home).advance(1)
        if controller.look():
            break
    event = home.ledger.events("cancer")[-1]
    assert (event.kind, home.route("cancer").live) == ("rollback", 1)
    assert event.cause == "error_rate worse than before it went live"


def test_a_switch_that_nobody_wants_watched_is_none(home: Workspace) -> None:
    at_once = deploy(home, Deploy(model="cancer@2", bake="none", dry_run=True))
    assert at_once.changes == ("live: 1 → 2", "previous: none → 1", "loaded: 1 → 2, 1")
    with pytest.raises(UsageError, match="'none' is not a duration"):
        deploy(home, Deploy(model="cancer@2", canary=LADDER, bake="none", dry_run=True))


def test_who_switched_may_go_on_to_the_next_version_and_others_are_told_who_did(home: Workspace) -> None:
    switch_at_once(home)
    bob = Workspace(home.home, actor="bob@desk (cli)", clock=home.clock, environment={})
    for request in (Deploy(model="cancer@3", dry_run=True), Deploy(model="cancer@3", canary=LADDER, dry_run=True)):
        with pytest.raises(Conflict, match=r"cancer@2 is being rolled out by ann@laptop \(test\) since .* \(baking\)"):
            deploy(bob, request)
        deploy(home, request)
    switch_at_once(home, 3)
    assert (home.route("cancer").live, home.route("cancer").previous) == (3, 2)
    assert home.rollout("cancer").plan.candidate == 3  # type: ignore[union-attr]
    undo(home, Undo())
    assert home.rollout("cancer").phase == "aborted"  # type: ignore[union-attr]
    assert Controller(home).look() == 0


LADDER = "5,25,100"
REFUSED: list[tuple[Deploy, type[ProdmlError], str]] = [
    (Deploy(model="cancer@1", canary=LADDER), InvalidInput, "version 1 of cancer is live; a canary is another version"),
    (Deploy(model="other@1", canary=LADDER), NotFound, "no model other is registered in"),
    (Deploy(model="cancer@2", canary="25,5"), UsageError, "do not rise"),
    (Deploy(model="cancer@2", canary="5,200"), UsageError, "'200' is no step"),
    (Deploy(model="cancer@2", canary=""), UsageError, "has no steps"),
    (Deploy(model="cancer@2", canary=LADDER, guard="speed"), UsageError, "'speed' is no guard; guards are"),
    (Deploy(model="cancer@2", canary=LADDER, margin="latency_p99=3"), UsageError, "needs a unit"),
    (Deploy(model="cancer@2", canary=LADDER, bake="soon"), UsageError, "'soon' is not a duration; write 90s"),
    (Deploy(model="cancer@2", bake="soon"), UsageError, "'soon' is not a duration; write 90s"),
    (Deploy(model="cancer@2", min_rows=9), UsageError, "--min-rows is for a canary; give its steps as well"),
    (
        Deploy(model="cancer@2", canary=LADDER, deadline="1s", bake="10m"),
        UsageError,
        "each step lasts 10 min at least, and after a deadline of 1.0 s it is held for a person; give a longer --deadline",
    ),
    (
        Deploy(model="cancer@2", canary=LADDER, bake="2d"),
        UsageError,
        "each step lasts 48 h at least, and after a deadline of 24 h",
    ),
    (
        Deploy(model="cancer@2", canary=LADDER, alpha=0.01, guard="eror_rate"),
        UsageError,
        "did you mean 'error_rate' or 'timeout_rate'?",
    ),
    (Deploy(model="cancer@2", deadline="1h"), UsageError, "--deadline is for a canary"),
    (
        Deploy(model="cancer@2", guard="accuracy"),
        InvalidInput,
        "what came before it is no control, since nobody drew who asked when; use a ladder, such as --canary",
    ),
    (Deploy(model="cancer@2", margin="latency_p99=3"), UsageError, "needs a unit"),
    (Deploy(model="cancer@2", segment="mean radius=1"), UsageError, "--segment is for a canary"),
    (
        Deploy(model="cancer@2", canary=LADDER, segment="mean radius"),
        UsageError,
        "--segment 'mean radius' is no part of the traffic",
    ),
    (Deploy(model="cancer@2", canary=LADDER, segment="radius=1"), InvalidInput, "the model has no column 'radius'"),
    (Deploy(model="cancer@2", canary=LADDER, segment="mean radius=x"), InvalidInput, "mean radius is a number, not 'x'"),
    (Deploy(model="cancer@2", canary=LADDER, key="user"), InvalidInput, "--key: the model has no column 'user'; known are"),
    (Deploy(model="cancer@2", canary=LADDER, blue_green=True), UsageError, "and --canary step by step; give one of them"),
]


@pytest.mark.parametrize(("request_", "error", "said"), REFUSED)
def test_a_canary_that_cannot_be_is_refused_in_one_line_and_changes_nothing(
    home: Workspace, request_: Deploy, error: type[ProdmlError], said: str
) -> None:
    last = home.ledger.last_id()
    with pytest.raises(error) as caught:
        deploy(home, request_)
    assert said in str(caught.value) and "; " in str(caught.value) and str(caught.value).isprintable()
    assert home.ledger.last_id() == last


def test_a_model_that_is_not_deployed_has_no_traffic_to_split(workspace: Workspace) -> None:
    with pytest.raises(
        InvalidInput, match="is not deployed, so there is no traffic to split; deploy it first with %deploy cancer@2"
    ):
        deploy(workspace, Deploy(model="cancer@2", canary=LADDER))
    with pytest.raises(NotFound, match="cancer never had a canary; begin one with"):
        rollout(workspace, Rollout(model="cancer"))


def test_a_second_rollout_and_a_plain_deployment_are_refused_with_who_runs_the_first(home: Workspace) -> None:
    begin(home)
    for request in (Deploy(model="cancer@3", canary=LADDER), Deploy(model="cancer@3")):
        with pytest.raises(Conflict, match=r"cancer@2 is being rolled out by ann@laptop \(test\) since 2026-01-01"):
            deploy(home, request)
    for request in (
        Deploy(model="cancer@3", canary="5,4,100"),
        Deploy(model="cancer@3", canary=LADDER, guard="eror_rate"),
        Deploy(model="cancer@3", canary=LADDER, deadline="1s"),
        Deploy(model="cancer@3", canary=LADDER, fsync="soon"),
        Deploy(model="cancer@3", guard="eror_rate"),
        Deploy(model="cancer@3", fsync="soon"),
    ):
        with pytest.raises(UsageError):  # what was typed is wrong whatever runs
            deploy(home, request)
    with pytest.raises(UsageError, match="give one of --pause, --abort, not 2"):
        rollout(home, Rollout(model="cancer", pause=True, abort=True))


def test_a_candidate_with_another_contract_is_refused_with_the_column(home: Workspace) -> None:
    path = home.folder("cancer", 2) / "contract.json"
    path.write_bytes(path.read_bytes().replace(b'"mean radius"', b'"radius"'))
    before = home.route("cancer")
    with pytest.raises(
        GateRefused, match=r"clients of cancer@1 cannot go on with version 2: column 'mean radius' is sent but not known"
    ):
        begin_canary(home, Deploy(model="cancer@2", canary=LADDER), before, 2)
    said = "clients of cancer@1 cannot go on with version 2: column 'mean radius' is sent but not known"
    assert broken_clients(home, before, 2).startswith(said)
    assert broken_clients(home, before, 3) == broken_clients(home, before, 1) == ""


def test_a_plan_says_what_each_step_can_see_and_a_blind_ladder_is_refused_with_one_that_sees(home: Workspace) -> None:
    with pytest.raises(NotFound, match="cancer@1 has answered 0 requests in the last 1d, too few to plan with"):
        plan_ladder(home, Plan(model="cancer"))
    traffic, controller = Traffic(home, 8), Controller(home)
    for _ in range(20):
        traffic.send(50)
        clock(home).advance(180)
    controller.draining.drain()
    found = plan_ladder(home, Plan(model="cancer", effect="error_rate=+0.05"))
    rows = {(row.percent, row.guard): row for row in found.record.steps}
    assert len(rows) == 8 and found.record.requests == 1_000 and found.record.requests_per_hour == pytest.approx(1_053, rel=0.01)
    until = [rows[percent, "error_rate"].rows_until_harm or 0 for percent in (1.0, 5.0, 25.0, 50.0)]
    assert until == sorted(until, reverse=True) and until[0] > 3 * until[1]
    assert not rows[1.0, "latency_p99"].sees and rows[1.0, "latency_p99"].rows_until_no_worse is None
    assert (rows[25.0, "error_rate"].rows_until_no_worse or 0) > 1_000
    assert "a step is left after" in found.warnings()[0] and found.frame.height == 8
    with pytest.raises(GateRefused, match=r"at 1 % a step is left after .*; try %deploy cancer@VERSION --canary"):
        plan_ladder(home, Plan(model="cancer", effect="error_rate=+0.05", strict=True))
    simulated = plan_ladder(home, Plan(model="cancer", canary="25,100", effect="error_rate=+0.05,latency_p99=100%", simulate=20))
    closed = {row.guard: row.rows_until_harm or 0 for row in simulated.record.steps}
    for row in simulated.record.steps:
        assert row.simulated_rows is not None and closed[row.guard] / 3 < row.simulated_rows < closed[row.guard] * 2
    assert "simulated until seen" in str(simulated)
    large = "error_rate=+0.5,latency_p99=900%"
    assert plan_ladder(home, Plan(model="cancer", canary="25,50,100", effect=large, strict=True)).warnings() == ()


class Refusing:
    """A ledger that keeps no evidence while it is told to refuse."""

    def __init__(self, ledger: Any) -> None:
        self.ledger = ledger
        self.refuses = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ledger, name)

    def keep_evidence(self, *arguments: Any) -> None:
        if self.refuses:
            raise Unavailable("the ledger cannot be used (disk full); run `prodml doctor`")
        self.ledger.keep_evidence(*arguments)


def test_while_evidence_cannot_be_kept_nothing_is_decided_and_afterwards_nothing_is_missing(home: Workspace) -> None:
    traffic, controller = Traffic(home, 9), Controller(home)
    begin(home)
    vars(home)["ledger"] = refusing = Refusing(home.ledger)
    clock(home).advance(61)
    for _ in range(3):
        traffic.send(800)
        assert controller.look() == 0
        assert "disk full" in controller.advancing.problems["cancer"]
    refusing.refuses = False
    traffic.send(800)
    assert controller.look() == 1 and controller.advancing.problems == {}
    assert sum(map(sum, kept(home).requests)) == 3_200


def test_a_candidate_that_rejects_what_the_live_version_takes_goes_back_alone(home: Workspace) -> None:
    traffic, controller = Traffic(home, 11, rejecting=0.05), Controller(home)
    begin(home, steps=(50.0, 100.0), guards=read_guards("rejected,latency_p99", ""))
    for _ in range(20):
        traffic.send(100)
        if controller.look():
            break
        controller.killed()
    event = home.ledger.events("cancer")[-1]
    assert (event.kind, event.payload["text"]) == ("rollback", "cancer@2: rejected worse at 0.5 of the traffic")
    said = event.payload["verdicts"][0]
    assert said["canary_events"] > 10 and said["control_events"] == 0
    rows = home.lake.rows("cancer", arms=("rejected",), statuses=None)
    assert rows.height >= said["canary_events"] and rows["inputs"].is_null().all()


def test_requests_that_were_rejected_count_as_the_arms_that_they_were_drawn_for(home: Workspace) -> None:
    """Half of the canary's are rejected: the split is sound nevertheless, and nothing is learnt of latency from them."""
    traffic, controller = Traffic(home, 12, rejecting=0.5), Controller(home)
    state = begin(home, steps=(50.0, 100.0), guards=read_guards("error_rate,latency_p99", ""), bake=7200.0, deadline=9000.0)
    traffic.send(2_000)
    controller.look()
    found = evidence_of(home, state)
    assert found is not None and not found.mismatch
    assert sum(map(sum, found.requests)) == 2_000 and abs(sum(found.requests[1]) - 1_000) < 150
    assert sum(dict(found.times[1]).values()) < 0.6 * sum(found.requests[1])
