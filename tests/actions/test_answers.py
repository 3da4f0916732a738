"""Guards on what was answered, over the lake: the controller reads labels and scores of rows, and a kill loses none."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from rehearsal import Controller, Traffic, begin, clock, kept

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.labels import labels
from prodml_magics.actions.plan import plan
from prodml_magics.actions.rollout import rollout
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import InvalidInput, UsageError
from prodml_magics.rollouts.guards import read_guards
from prodml_magics.wire.requests import Deploy, Labels, Plan, Rollout

GUARDED = {"guards": read_guards("error_rate,class:1,score,latency_mean", ""), "steps": (50.0, 100.0)}


def test_a_candidate_that_says_a_class_far_too_seldom_goes_back_alone(home: Workspace) -> None:
    traffic, controller = Traffic(home, 0, right=(0.2, 0.02)), Controller(home)
    begin(home, **GUARDED)
    for _ in range(10):
        traffic.send(400)
        clock(home).advance(5)
        if controller.look():
            break
    event = home.ledger.events("cancer")[-1]
    assert event.payload["text"] == "cancer@2: class:1 worse at 0.5 of the traffic"
    assert home.route("cancer").live == 1
    assert "class:1: neither more nor less often by its margin" in str(rollout(home, Rollout(model="cancer")))


def test_whoever_is_killed_counts_each_answer_once_and_failures_have_none(home: Workspace) -> None:
    traffic, controller = Traffic(home, 1, right=(0.3, 0.3), failing=0.2, keys=2_000), Controller(home)
    begin(home, **(GUARDED | {"guards": read_guards("class:1,score", "")}))
    traffic.send(300)
    controller.look()
    controller.killed()
    traffic.send(300)
    controller.look()
    found = kept(home)
    rows = home.lake.rows("cancer")
    said = rows.filter(rows["outputs"].struct.field("label") == "1")
    assert found.moved is not None and sum(found.moved.units) == rows["key"].n_unique()
    assert sum(found.moved.sums) == pytest.approx(0.5 * rows["key"].n_unique())
    assert sum(map(sum, found.counts[0])) == said["key"].n_unique()
    assert len(rows) < 600


@pytest.mark.parametrize(
    ("guard", "message"),
    [
        ("class:2", "'2' is no class of cancer@2; its classes are 0, 1"),
    ],
)
def test_a_class_that_the_model_does_not_have_is_refused(home: Workspace, guard: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        deploy(home, Deploy(model="cancer@2", canary="5,100", guard=guard, dry_run=True))
    with pytest.raises(UsageError, match="'class:' is no guard"):
        deploy(home, Deploy(model="cancer@2", canary="5,100", guard="class:", dry_run=True))


def test_a_switch_of_all_traffic_says_that_it_cannot_be_guarded_so(home: Workspace) -> None:
    for guard in ("score", "class:1", "latency_mean", "rejected", "metric:revenue", "accuracy", "log_loss"):
        with pytest.raises(InvalidInput, match=f"{guard} compares two versions that answer at the same time"):
            deploy(home, Deploy(model="cancer@2", guard=guard, dry_run=True))


def test_a_plan_counts_with_what_was_answered_and_what_came_for_it(home: Workspace) -> None:
    traffic, controller = Traffic(home, 3, right=(0.2, 0.2)), Controller(home)
    for _ in range(20):
        traffic.send(50)
        clock(home).advance(180)
    controller.look()
    asked = Plan(model="cancer", canary="25,100", guard="score,class:1,latency_mean,rejected,metric:revenue,metric:bought:0..1")
    blank = plan(home, asked)
    rows = {row.guard: row for row in blank.record.steps}
    assert rows["class:1"].effect == "100%" and rows["score"].effect == "0.04"  # harm begins beyond the margin
    assert all(rows[guard].rows_until_harm for guard in ("score", "class:1", "latency_mean", "rejected"))
    assert rows["metric:revenue"].rows_until_harm is None
    assert "nothing came for metric:revenue and metric:bought:0..1 in the last 1d" in "; ".join(blank.warnings())
    assert "nothing was rejected in a rollout of this window" in "; ".join(blank.warnings())
    frame = {"request_id": traffic.ids, "revenue": [10.0 + index % 7 for index in range(len(traffic.ids))]}
    labels(home, Labels(model="cancer", frame=frame | {"bought": [index % 2 for index in range(len(traffic.ids))]}))
    found = {row.guard: row for row in plan(home, replace(asked, effect="metric:bought=0.1,metric:revenue=20%")).record.steps}
    assert found["metric:bought:0..1"].effect == "0.1" and found["metric:revenue"].effect == "20%"
    bought, revenue = (found[guard].rows_until_harm for guard in ("metric:bought:0..1", "metric:revenue"))
    assert bought is not None and revenue is not None and bought > 2 * revenue
    waiting = replace(asked, guard="class:1,metric:bought:0..1", effect="metric:bought=0.2", simulate=20)
    simulated = {row.guard: row for row in plan(home, waiting).record.steps}
    assert all(row.simulated_rows for row in simulated.values())
    # half an hour, at a thousand requests an hour, is what they came late in the median
    assert all(rows > 450 for rows in (bought, simulated["metric:bought:0..1"].simulated_rows) if rows is not None)
