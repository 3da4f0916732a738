"""%whatif over rollouts that the ledger and the lake really hold; nothing is served."""

from __future__ import annotations

import shutil

import msgspec
import pytest
from rehearsal import Controller, Traffic, begin, clock, switch_at_once

from prodml_magics.actions.rollback import rollback
from prodml_magics.actions.switch import switch
from prodml_magics.actions.whatif import whatif
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import NotFound, ProdmlError, UsageError
from prodml_magics.rollouts.blue_green import promoted
from prodml_magics.rollouts.guards import read_guards
from prodml_magics.rollouts.shadow import shadowed
from prodml_magics.wire.requests import Deploy, Rollback, Whatif
from prodml_magics.wire.routes import ShadowPlan


def carry_on(home: Workspace, traffic: Traffic, controller: Controller, looks: int, requests: int = 100) -> None:
    for _ in range(looks):
        for _ in range(5):
            traffic.send(requests // 5)
            clock(home).advance(4)
        controller.look()
        state = home.rollout("cancer")
        if state is None or state.over:
            break


def pass_time(home: Workspace, traffic: Traffic, controller: Controller) -> None:
    """Nothing is rolled out: what a slower plan would have been looked at with."""
    for _ in range(25):
        traffic.send(100)
        clock(home).advance(20)
    controller.look()


def test_a_bad_and_a_good_rollout_are_decided_anew(home: Workspace) -> None:
    traffic, controller = Traffic(home, 0, failing=0.3), Controller(home)
    traffic.send(400)
    controller.look()
    guards = read_guards("error_rate", "")
    begin(home, guards=guards, steps=(25.0, 50.0, 100.0))
    carry_on(home, traffic, controller, 20)
    assert home.rollout("cancer").phase == "rolled back"  # type: ignore[union-attr]
    pass_time(home, traffic, controller)
    begin(home, 3, guards=guards, steps=(50.0, 100.0), min_rows=30, bake=60.0)
    carry_on(home, traffic, controller, 60, 200)
    assert home.rollout("cancer").phase == "done"  # type: ignore[union-attr]
    pass_time(home, traffic, controller)

    same = whatif(home, Whatif(model="cancer"))
    bad, good = same.record.rollouts
    assert (bad.ended, bad.would_end, good.ended, good.would_end) == ("rolled back", "rolled back", "done", "live")
    assert (same.incidents, same.caught, bad.lent, good.lent) == (1, 1, 0.0, 0.0)
    assert bad.would_expose == pytest.approx(bad.exposure, abs=60) and good.would_take == pytest.approx(good.hours, abs=0.02)
    assert "cancer: 1 of 1 incident caught" in str(same) and same.frame.height == 2

    small = whatif(home, Whatif(model="cancer", canary="5,25,50,100"))
    assert small.caught == 1 and small.hours_lost > 0
    assert small.record.rollouts[0].would_take > bad.hours
    blind = whatif(home, Whatif(model="cancer", guard="latency_p99"))
    assert blind.caught == 0 and "guard" not in blind.record.rollouts[0].note


def test_what_was_taken_back_by_hand_is_an_incident_that_a_ladder_would_have_caught(home: Workspace) -> None:
    traffic, controller = Traffic(home, 1, failing=0.02), Controller(home)
    traffic.send(600)
    controller.look()
    switch_at_once(home, guard="error_rate", margin="error_rate=0.2", bake="1m")
    carry_on(home, traffic, controller, 4)
    assert home.rollout("cancer").phase == "done"  # type: ignore[union-attr]
    carry_on(home, traffic, controller, 30, 200)
    traffic.send(2_000)
    controller.look()
    clock(home).advance(60)
    rollback(home, Rollback(model="cancer"))
    found = whatif(home, Whatif(model="cancer", canary="25,50,100", margin="error_rate=0.005", min_rows=500, bake="10m"))
    (mine,) = found.record.rollouts
    assert (mine.ended, mine.would_end, found.incidents, found.caught) == ("taken back", "rolled back", 1, 1)
    assert "of the exposure was never seen" in str(found) or mine.lent <= 0.5


def test_an_old_version_that_was_promoted_anew_is_nothing_taken_back(home: Workspace) -> None:
    """As a shadow of it is that was shown to be no worse."""
    traffic, controller = Traffic(home, 1), Controller(home)
    traffic.send(600)
    controller.look()
    switch_at_once(home, bake="1m")
    carry_on(home, traffic, controller, 4)
    assert home.rollout("cancer").phase == "done"  # type: ignore[union-attr]
    clock(home).advance(60)
    before = home.route("cancer")
    switch(home, before, promoted(before, home.files("cancer", 1)), kind="promote", cause="shadow no worse")
    assert home.route("cancer").live == 1
    found = whatif(home, Whatif(model="cancer"))
    assert (found.record.rollouts[0].ended, found.incidents) == ("done", 0)


def test_an_old_version_that_was_deployed_after_its_shadow_is_nothing_taken_back(home: Workspace) -> None:
    traffic, controller = Traffic(home, 1), Controller(home)
    traffic.send(600)
    controller.look()
    switch_at_once(home, bake="1m")
    carry_on(home, traffic, controller, 4)
    clock(home).advance(60)
    before, then = home.route("cancer"), Deploy(model="cancer@1", why="smaller")
    mirrored = shadowed(before, home.files("cancer", 1), 1.0, ShadowPlan(began_at=clock(home).now(), rows=500, alpha=0.05))
    switch(home, before, mirrored, kind="shadow", cause="", details={"then": msgspec.to_builtins(then)})
    before = home.route("cancer")
    switch(home, before, promoted(before, home.files("cancer", 1)), kind="deploy", cause="smaller; shadow first, no worse")
    assert home.route("cancer").live == 1
    found = whatif(home, Whatif(model="cancer"))
    assert (found.record.rollouts[0].ended, found.incidents) == ("done", 0)


@pytest.mark.parametrize(
    ("request_", "kind", "said"),
    [
        (Whatif(model="cancer", bake="1h", deadline="1m"), UsageError, "held for a person; give a longer --deadline"),
        (Whatif(model="cancer", guard="speed"), UsageError, "'speed' is no guard"),
        (Whatif(model="cancer", canary="50,5"), UsageError, "do not rise"),
        (Whatif(model="cancer", bake="soon"), UsageError, "'soon' is not a duration"),
        (Whatif(model="other"), NotFound, "other never had a rollout to decide anew; begin one with"),
    ],
)
def test_what_cannot_be_meant_is_one_line(home: Workspace, request_: Whatif, kind: type[ProdmlError], said: str) -> None:
    begin(home)
    with pytest.raises(kind) as caught:
        whatif(home, request_)
    assert said in str(caught.value) and "; " in str(caught.value)


def test_a_rollout_without_traffic_says_that_nothing_was_recorded(home: Workspace) -> None:
    begin(home)
    (mine,) = whatif(home, Whatif(model="cancer")).record.rollouts
    assert (mine.would_end, mine.note) == ("undecided", "no requests that both versions answered were recorded")


def test_a_rollout_whose_rows_are_gone_says_so(home: Workspace) -> None:
    traffic, controller = Traffic(home, 0), Controller(home)
    begin(home, steps=(50.0, 100.0))
    traffic.send(100)
    controller.look()
    shutil.rmtree(home.home / "lake")
    (mine,) = whatif(home, Whatif(model="cancer")).record.rollouts
    assert (mine.would_end, mine.note) == ("undecided", "the lake has no answers of both versions any more")
