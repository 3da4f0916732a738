"""%whatif with every guard: under the very plan that a rollout had, it ends as it ended and when it ended."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rehearsal import Controller, Traffic, begin, clock, switch_at_once

from prodml_magics.actions.labels import labels
from prodml_magics.actions.whatif import whatif
from prodml_magics.actions.workspace import Workspace
from prodml_magics.rollouts.guards import read_guards
from prodml_magics.wire.requests import Labels, Whatif


def carry_on(home: Workspace, traffic: Traffic, controller: Controller, *, labelled: Any = None, seconds: int = 120) -> None:
    """Forty requests a second, each second looked at; what `labelled` gives them comes ten seconds late."""
    told = len(traffic.ids)
    sent: list[int] = []
    for _ in range(seconds):
        traffic.send(40)
        sent.append(len(traffic.ids))
        clock(home).advance(1)
        if labelled is not None and len(sent) > 10 and len(sent) % 4 == 0:
            tell(home, traffic.ids[told : sent[-10]], labelled)
            told = sent[-10]
        controller.look()
        state = home.rollout("cancer")
        if state is None or state.over:
            return


def tell(home: Workspace, ids: list[str], labelled: Any) -> None:
    rows = home.lake.rows("cancer")
    canary = dict(zip(rows["request_id"], rows["arm"] == "canary", strict=True))
    mine = [each for each in ids if each in canary]
    labels(home, Labels(model="cancer", frame={"request_id": mine, **labelled(np.array([canary[each] for each in mine]))}))


def truth(canary: np.ndarray) -> dict[str, Any]:
    return {"label": [1] * len(canary)}


def revenue(canary: np.ndarray) -> dict[str, Any]:
    worth = np.random.default_rng(len(canary)).lognormal(-0.125, 0.5, len(canary))
    return {"revenue": np.where(canary, 4.0, 10.0) * worth}


@pytest.mark.parametrize(
    ("guard", "how", "labelled"),
    [
        ("error_rate", {"failing": 0.1}, None),
        ("rejected", {"rejecting": 0.1}, None),
        ("class:1", {"right": (0.2, 0.9)}, None),
        ("score", {"scoring": (0.2, 0.7)}, None),
        ("latency_mean", {"slow": 2.0}, None),
        ("latency_p95", {"slow": 2.0}, None),
        ("accuracy", {"right": (0.95, 0.5)}, truth),
        ("log_loss", {"scoring": (0.9, 0.2)}, truth),
        ("metric:revenue", {}, revenue),
        ("metric:revenue:0..40", {}, revenue),
    ],
)
def test_the_very_plan_gives_the_very_decision_at_its_time(
    home: Workspace, guard: str, how: dict[str, Any], labelled: Any
) -> None:
    traffic, controller = Traffic(home, 0, **how), Controller(home)
    for _ in range(10):
        traffic.send(60)
        clock(home).advance(2)
    controller.look()
    begin(home, guards=read_guards(guard, ""), steps=(25.0, 50.0, 100.0), bake=600.0)
    carry_on(home, traffic, controller, labelled=labelled)
    assert home.rollout("cancer").phase == "rolled back"  # type: ignore[union-attr]
    for _ in range(10):  # what a look that came a little later would have been looked at with
        traffic.send(40)
        clock(home).advance(1)
    controller.look()
    found = whatif(home, Whatif(model="cancer"))
    (mine,) = found.record.rollouts
    assert (mine.would_end, mine.unknown, found.caught) == ("rolled back", (), 1) and mine.lent < 0.1
    assert mine.reason == home.rollout("cancer").reason  # type: ignore[union-attr]
    assert mine.would_take * 3600 == pytest.approx(mine.hours * 3600, abs=2.0)


def ended_well(
    home: Workspace, guard: str, *, labelled: Any = None, steps: tuple[float, ...] = (50.0, 100.0), **how: Any
) -> None:
    """A rollout under `guard` that went live, and some traffic behind it."""
    traffic, controller = Traffic(home, 1, **how), Controller(home)
    traffic.send(600)
    controller.look()
    begin(home, guards=read_guards(guard, "error_rate=0.05"), steps=steps, bake=20.0 if labelled else 10.0, min_rows=150)
    carry_on(home, traffic, controller, labelled=labelled, seconds=80)
    assert home.rollout("cancer").phase == "done"  # type: ignore[union-attr]
    for _ in range(10):
        traffic.send(40)
        clock(home).advance(1)
    controller.look()


@pytest.mark.parametrize(
    ("guard", "how", "labelled"),
    [
        ("score", {"scoring": (0.2, 0.7)}, None),
        ("class:1", {"right": (0.2, 0.9)}, None),
        ("accuracy", {"right": (0.95, 0.5)}, truth),
        ("metric:revenue", {}, revenue),
    ],
)
def test_what_another_guard_would_have_caught(home: Workspace, guard: str, how: dict[str, Any], labelled: Any) -> None:
    ended_well(home, "error_rate", labelled=labelled, **how)
    same = whatif(home, Whatif(model="cancer")).record.rollouts[0]
    assert (same.would_end, same.unknown) == ("live", ()) and same.would_take == pytest.approx(same.hours, abs=3 / 3600)
    (other,) = whatif(home, Whatif(model="cancer", guard=guard)).record.rollouts
    assert (other.would_end, other.unknown) == ("rolled back", ()) and other.would_take <= other.hours
    assert other.reason == f"{guard} worse at 0.5 of the traffic"


@pytest.mark.parametrize(
    ("guard", "said"),
    [
        ("accuracy", "accuracy: no labels for answers of both versions came; give them with %labels cancer FRAME"),
        ("metric:revenue", "metric:revenue: no values of revenue for answers of both versions came; give them with"),
        ("class:2", "'2' is no class of cancer@1; its classes are 0, 1"),
        ("class:1", "class:1: neither version said so in what the lake holds"),
    ],
)
def test_a_guard_of_which_the_past_knows_nothing_says_so_and_stays_undecided(home: Workspace, guard: str, said: str) -> None:
    ended_well(home, "error_rate")
    found = whatif(home, Whatif(model="cancer", guard=f"error_rate,{guard}"))
    (mine,) = found.record.rollouts
    assert mine.would_end == "undecided" and len(mine.unknown) == 1 and said in mine.unknown[0]
    assert any(said in line for line in found.warnings()) and said in str(found)


def test_what_was_live_at_once_has_nobody_rejected_and_nobody_beside_it(home: Workspace) -> None:
    traffic, controller = Traffic(home, 1), Controller(home)
    traffic.send(600)
    controller.look()
    switch_at_once(home, bake="20s")
    traffic.send(40)
    clock(home).advance(25)
    controller.look()
    at_once = whatif(home, Whatif(model="cancer", guard="error_rate,score")).record.rollouts[0]
    assert at_once.unknown == (
        "score needs a version beside the candidate, and all at once leaves none; give --canary 5,25,50,100",
    )
    beside = whatif(home, Whatif(model="cancer", guard="rejected", canary="50,100")).record.rollouts[0]
    assert beside.unknown == ("rejected is recorded only while a canary runs, and this rollout was none; leave it out",)
