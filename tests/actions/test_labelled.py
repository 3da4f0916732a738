"""Label guards of a rollout: labels that come late decide, labels that never come hold, corrections bet on nothing twice."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from rehearsal import Controller, Traffic, begin, clock, kept

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.labelled import scored
from prodml_magics.actions.labels import labels
from prodml_magics.actions.plan import plan
from prodml_magics.actions.rollout import rollout
from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.schema import write_contract
from prodml_magics.errors import InvalidInput
from prodml_magics.rollouts.guards import read_guards
from prodml_magics.rollouts.means import MeanTally
from prodml_magics.stats.sequential.rows_needed import rows_for_mean, spread
from prodml_magics.wire.requests import Deploy, Labels, Plan, Rollout

GUARDED = {"guards": read_guards("error_rate,accuracy", "accuracy=0.05"), "steps": (50.0, 100.0)}


def tell(workspace: Workspace, ids: list[str], truth: int = 1) -> None:
    clock(workspace).advance(1)
    labels(workspace, Labels(model="cancer", frame={"request_id": ids, "label": [truth] * len(ids)}))


def tally(workspace: Workspace) -> MeanTally:
    return kept(workspace).means["accuracy"]


def test_a_candidate_that_is_less_often_right_goes_back_alone_once_the_labels_come(home: Workspace) -> None:
    traffic, controller = Traffic(home, 0, right=(0.95, 0.85)), Controller(home)
    begin(home, **GUARDED)
    traffic.send(2_500)
    clock(home).advance(30)
    assert controller.look() == 0
    shown = rollout(home, Rollout(model="cancer"))
    assert "accuracy: no label has come yet; give them with %labels" in str(shown)
    for start in range(0, 2_500, 500):  # late, and in parts
        tell(home, traffic.ids[start : start + 500])
        if controller.look():
            break
    event = home.ledger.events("cancer")[-1]
    assert (event.kind, event.payload["tier"]) == ("rollback", "immediate")
    assert event.payload["text"] == "cancer@2: accuracy worse at 0.5 of the traffic"
    said = next(each for each in event.payload["verdicts"] if each["metric"] == "accuracy")
    assert (said["verdict"], said["of"]) == ("worse", "difference") and said["high"] < 0
    assert "-" in str(rollout(home, Rollout(model="cancer"))) and home.route("cancer").live == 1


def test_an_equal_candidate_goes_on_when_the_labels_have_shown_it_and_not_before(home: Workspace) -> None:
    traffic, controller = Traffic(home, 1, right=(0.95, 0.95)), Controller(home)
    begin(home, **GUARDED)
    traffic.send(2_500)
    clock(home).advance(61)
    assert controller.look() == 0
    assert "no worse on accuracy" in rollout(home, Rollout(model="cancer")).waits_for
    tell(home, traffic.ids)
    assert controller.look() == 1
    assert home.route("cancer").live == 2


def test_labels_that_never_come_hold_it_and_tell(home: Workspace) -> None:
    traffic, controller = Traffic(home, 2, right=(0.95, 0.95)), Controller(home)
    begin(home, **GUARDED)
    traffic.send(600)
    clock(home).advance(3_700)
    assert controller.look() == 1
    state = home.rollout("cancer")
    assert state is not None and state.phase == "held"
    assert home.ledger.events("cancer")[-1].payload["tier"] == "daily"
    tell(home, traffic.ids)  # what comes while it is held counts
    controller.look()
    assert sum(tally(home).units) == 600


def test_whoever_is_killed_finds_the_same_and_a_correction_bets_on_nothing_twice(home: Workspace) -> None:
    traffic, controller = Traffic(home, 3, right=(0.9, 0.9), keys=150), Controller(home)
    begin(home, **GUARDED)
    traffic.send(600)
    controller.look()
    tell(home, traffic.ids[:400])
    controller.look()
    before = tally(home)
    tell(home, traffic.ids[:400], truth=0)
    controller.look()
    assert tally(home) == before
    controller.killed()
    controller.look()
    assert tally(home) == before
    tell(home, traffic.ids[400:])
    controller.look()
    rows = home.lake.rows("cancer").filter(pl.col("rollout") > 0)
    assert sum(tally(home).units) == rows["key"].n_unique() <= 150  # units, not rows


def test_labels_that_were_noted_before_their_rows_were_drained_are_found_later(home: Workspace) -> None:
    traffic, controller = Traffic(home, 4, right=(0.9, 0.9)), Controller(home)
    begin(home, **GUARDED)
    traffic.send(300)
    tell(home, traffic.ids)
    controller.advancing.advance()
    controller.draining.drain()
    clock(home).advance(6)
    controller.look()
    assert sum(tally(home).units) == 300


def paid(workspace: Workspace, traffic: Traffic, worth: tuple[float, float]) -> None:
    """Tell what every request brought: on average `worth` of control and canary."""
    clock(workspace).advance(1)
    rows = workspace.lake.rows("cancer").filter(pl.col("rollout") > 0)
    canary = dict(zip(rows["request_id"], rows["arm"] == "canary", strict=True))
    ids = [each for each in traffic.ids if each in canary]
    rng = np.random.default_rng(9)
    mean = np.where([canary[each] for each in ids], worth[1], worth[0])
    labels(workspace, Labels(model="cancer", frame={"request_id": ids, "revenue": mean * rng.lognormal(-0.125, 0.5, len(ids))}))


@pytest.mark.parametrize(
    ("guard", "note"), [("metric:revenue", "asymptotic, of values clipped to"), ("metric:revenue:0..20", "cut to its range")]
)
def test_a_candidate_that_earns_less_goes_back_alone(home: Workspace, guard: str, note: str) -> None:
    traffic, controller = Traffic(home, 6), Controller(home)
    begin(home, steps=(50.0, 100.0), guards=read_guards(f"error_rate,{guard}", ""))
    traffic.send(2_500)
    controller.look()
    waiting = str(rollout(home, Rollout(model="cancer")))
    assert "revenue has come" in waiting and "%labels" in waiting
    paid(home, traffic, (10.0, 8.0))
    assert controller.look() == 1
    event = home.ledger.events("cancer")[-1]
    assert (event.kind, event.payload["text"]) == ("rollback", f"cancer@2: {guard} worse at 0.5 of the traffic")
    said = next(each for each in event.payload["verdicts"] if each["metric"] == guard)
    assert said["verdict"] == "worse" and said["high"] < 0 and note in said["note"]
    assert said["canary_mean"] == pytest.approx(8.0, rel=0.1) and said["control_mean"] == pytest.approx(10.0, rel=0.1)


def test_the_limits_of_a_metric_are_frozen_and_a_killed_controller_keeps_them(home: Workspace) -> None:
    traffic, controller = Traffic(home, 7), Controller(home)
    begin(home, steps=(50.0, 100.0), guards=read_guards("metric:revenue", "metric:revenue=10%"))
    traffic.send(800)
    controller.look()
    paid(home, traffic, (10.0, 10.0))
    controller.look()
    before = kept(home)
    assert before.clips["metric:revenue"].spent == 200
    assert sum(before.means["metric:revenue"].units) == 600
    traffic.send(800)
    controller.killed()
    controller.look()
    paid(home, traffic, (100.0, 100.0))
    controller.look()
    assert kept(home).clips == before.clips


def test_a_plan_counts_with_the_labels_that_come(home: Workspace) -> None:
    traffic, controller = Traffic(home, 5, right=(0.9, 0.9)), Controller(home)
    for _ in range(20):
        traffic.send(50)
        clock(home).advance(180)
    controller.look()
    asked = Plan(model="cancer", canary="50,100", guard="accuracy", margin="accuracy=0.05")
    blank = plan(home, asked)
    assert "no label in the last 1d: accuracy planned with the largest variance" in blank.warnings()[-1]
    tell(home, traffic.ids[::2])
    found = plan(home, asked)
    assert found.warnings() == () and found.record.steps[0].sees
    few, many = found.record.steps[0].rows_until_no_worse, blank.record.steps[0].rows_until_no_worse
    assert few is not None and many is not None and few < many
    # about a tenth of the answers is wrong, half of the requests have a label
    assert few == pytest.approx(2 * spread(0.8) * rows_for_mean(0.5, 0.1, 0.09, margin=0.05), rel=0.3)


def test_the_log_loss_is_that_of_the_class_that_was_true_and_is_clipped(home: Workspace) -> None:
    contract = home.contract("cancer", 1)
    outputs = [{"probability_0": p, "probability_1": 1 - p} for p in (0.9, 0.2, 1.0)]
    found = pl.DataFrame({"outputs": outputs, "label": ["0", "1", "1"]})
    assert scored(found, "log_loss", contract)["value"].to_list() == pytest.approx([np.log(0.9), np.log(0.8), -3.0])


def test_a_guard_on_labels_needs_answers_that_labels_can_be_held_against(home: Workspace) -> None:
    from msgspec.structs import replace

    path = home.folder("cancer", 2) / "contract.json"
    contract = home.contract("cancer", 2)
    for version in (1, 2):
        (home.folder("cancer", version) / "contract.json").write_bytes(write_contract(replace(contract, task="regression")))
    assert path.exists()
    with pytest.raises(InvalidInput, match="accuracy needs a classifier, and cancer@2 is none; guard it by"):
        deploy(home, Deploy(model="cancer@2", canary="5,100", guard="accuracy", dry_run=True))
