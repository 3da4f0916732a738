"""Canary rollouts over real HTTP, with a live gateway, a controller, and clients that never stop asking."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from homes import Load, add_version, services, wait_for, workspace_at
from plans import plan
from plans import rollout as begun
from shops import add_shop, shop_body
from sklearn.datasets import load_breast_cancer

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.labels import labels
from prodml_magics.actions.rollout import rollout
from prodml_magics.actions.services import Services
from prodml_magics.actions.switch import switch
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import GateRefused
from prodml_magics.rollouts.canary import route_of
from prodml_magics.rollouts.guards import read_guards
from prodml_magics.wire.requests import Deploy, Labels, Rollout
from prodml_magics.wire.rollouts import Guard

GOOD, FAILING, SLOW, MISTAKEN = 2, 3, 4, 5
PATIENCE = 240
"""Seconds: a ladder from 1 % asks for some two thousand requests, which a busy machine answers when it can."""
QUICK = {
    "canary": "5,25,50,100",
    "bake": "1s",
    "min_rows": 30,
    "guard": "error_rate,latency_p50",
    "margin": "error_rate=0.03,latency_p50=200%",
    "alpha": 0.01,
}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Load]]:
    """A home whose model is asked all the time by four clients."""
    workspace = workspace_at(tmp_path_factory.mktemp("rollouts") / ".prodml")
    placed = add_version(workspace, 1, work=1)
    add_version(workspace, GOOD, c=0.9, work=1)
    add_version(workspace, FAILING, fails=float(np.quantile(placed.rows[:, 0], 0.97)), work=1)
    add_version(workspace, SLOW, work=12)
    add_version(workspace, MISTAKEN, mistaken=float(np.quantile(placed.rows[:, 0], 0.95)), work=1)
    with services(workspace):
        url = str(deploy(workspace, Deploy(model="cancer@1")).url)
        with Load(url, placed.rows) as load:
            wait_for(lambda: len(load.acknowledged) > 500)
            yield workspace, load


def phase(workspace: Workspace) -> str:
    return str(rollout(workspace, Rollout(model="cancer")).phase)


@pytest.mark.parametrize(("version", "guard"), [(FAILING, "error_rate"), (SLOW, "latency_p50")])
def test_a_bad_candidate_is_taken_back_alone_and_nobody_else_notices(
    live: tuple[Workspace, Load], version: int, guard: str
) -> None:
    workspace, load = live
    load.refused.clear()
    deploy(workspace, Deploy(model=f"cancer@{version}", **QUICK))  # type: ignore[arg-type]
    wait_for(lambda: phase(workspace) == "rolled back", PATIENCE)
    shown = rollout(workspace, Rollout(model="cancer"))
    assert guard in shown.reason and shown.version == 1
    assert 0 < shown.canary_requests < shown.control_requests
    assert f"exposure: {shown.canary_requests} requests" in str(shown)
    wait_for(lambda: load.versions[-200:].count("1") == 200, PATIENCE)
    assert all(f"cancer@{version}" in said for _, said in load.refused) and load.broken == 0
    event = workspace.ledger.events("cancer")[-1]
    assert (event.kind, event.actor, event.payload["tier"]) == ("rollback", "controller", "immediate")


def test_a_version_that_takes_all_traffic_and_fails_goes_back_alone(live: tuple[Workspace, Load]) -> None:
    workspace, load = live
    load.refused.clear()
    changed = deploy(workspace, Deploy(model=f"cancer@{FAILING}", blue_green=True, bake="2m", guard="error_rate"))
    assert (changed.version, changed.previous, changed.bake) == (FAILING, 1, 120)
    wait_for(lambda: phase(workspace) == "rolled back", PATIENCE)
    shown = rollout(workspace, Rollout(model="cancer"))
    assert (shown.version, shown.reason) == (1, "error_rate worse than before it went live")
    assert f"exposure: {shown.canary_requests} requests" in str(shown) and shown.canary_requests > 0
    wait_for(lambda: load.versions[-200:].count("1") == 200, PATIENCE)
    assert all(f"cancer@{FAILING}" in said for _, said in load.refused) and load.broken == 0


def test_a_candidate_whose_accuracy_is_worse_by_five_points_is_taken_back_when_the_labels_come(
    live: tuple[Workspace, Load],
) -> None:
    workspace, load = live
    load.refused.clear()
    truth, told = load_breast_cancer().target, len(load.acknowledged)
    request = {**QUICK, "canary": "50,100", "guard": "error_rate,accuracy", "margin": "accuracy=0.05", "alpha": 0.05}
    deploy(workspace, Deploy(model=f"cancer@{MISTAKEN}", **request))  # type: ignore[arg-type]
    wait_for(lambda: len(load.acknowledged) - told > 500, PATIENCE)
    assert phase(workspace) == "running"

    def tell() -> bool:
        nonlocal told
        ids, told = load.acknowledged[told:], len(load.acknowledged)
        label = [truth[int(each.partition("-")[2]) % (len(truth) - 1)] for each in ids]
        found = labels(workspace, Labels(model="cancer", frame={"request_id": ids, "label": label}))
        assert (found.unknown, found.ambiguous) == (0, 0)
        wait_for(lambda: len(load.acknowledged) - told > 100 or phase(workspace) == "rolled back", PATIENCE)
        return phase(workspace) == "rolled back"

    wait_for(tell, PATIENCE)
    shown = rollout(workspace, Rollout(model="cancer"))
    assert shown.reason == "accuracy worse at 0.5 of the traffic" and shown.version == 1
    said = next(each for each in shown.guards if each.metric == "accuracy")
    assert 0.01 < said.control_mean - said.canary_mean < 0.12  # a decision comes soonest where chance exaggerates
    wait_for(lambda: load.versions[-200:].count("1") == 200, PATIENCE)
    assert load.refused == []


def test_a_candidate_that_earns_less_is_taken_back_when_the_money_is_told(live: tuple[Workspace, Load]) -> None:
    workspace, load = live
    load.refused.clear()
    told, rng = len(load.acknowledged), np.random.default_rng(0)
    request = {**QUICK, "canary": "50,100", "guard": "error_rate,metric:revenue:0..20", "margin": "metric:revenue=0.5"}
    deploy(workspace, Deploy(model=f"cancer@{GOOD}", **request))  # type: ignore[arg-type]
    wait_for(lambda: list(load.answered.values())[-500:].count(str(GOOD)) > 100, PATIENCE)
    assert phase(workspace) == "running"

    def tell() -> bool:
        nonlocal told
        ids, told = load.acknowledged[told:], len(load.acknowledged)
        worth = np.where([load.answered.get(each) == str(GOOD) for each in ids], 4.0, 8.0) * rng.lognormal(-0.08, 0.4, len(ids))
        found = labels(workspace, Labels(model="cancer", frame={"request_id": ids, "revenue": worth}))
        assert (found.unknown, found.ambiguous) == (0, 0)
        wait_for(lambda: len(load.acknowledged) - told > 100 or phase(workspace) == "rolled back", PATIENCE)
        return phase(workspace) == "rolled back"

    wait_for(tell, PATIENCE)
    shown = rollout(workspace, Rollout(model="cancer"))
    assert (shown.reason, shown.version) == ("metric:revenue:0..20 worse at 0.5 of the traffic", 1)
    said = next(each for each in shown.guards if each.metric == "metric:revenue:0..20")
    assert (said.canary_mean, said.control_mean) == (pytest.approx(4.0, rel=0.15), pytest.approx(8.0, rel=0.15))
    wait_for(lambda: load.versions[-200:].count("1") == 200, PATIENCE)
    assert load.refused == [] and load.broken == 0


def enter(workspace: Workspace, guards: tuple[Guard, ...]) -> None:
    """A canary of shop@2 in the ledger, past the gate that `deploy` has for contracts."""
    before, now = workspace.route("shop"), workspace.clock.now()
    chosen = plan(control=1, candidate=2, steps=(5.0, 25.0, 50.0, 100.0), guards=guards, bake=1.0, min_rows=30, alpha=0.01)
    state = begun(chosen, model="shop", id=before.revision + 1, began_at=now, step_at=now)
    after = route_of(state, before, workspace.files("shop", 2))
    switch(workspace, before, after, kind="canary", cause="", details={"rollout": msgspec.to_builtins(state)})


def crash(workspace: Workspace, marker: str) -> None:
    """The signal of a native crash, while the version runs of which the file `marker` tells: stopped until it is certain that it does."""
    running = next((workspace.home / "run").glob(marker))
    while True:
        gateway = Services(workspace).gateway()
        assert gateway is not None
        wait_for(lambda: running.read_bytes().startswith(b"cancer@"), PATIENCE)
        os.kill(gateway.pid, signal.SIGSTOP)
        time.sleep(0.05)
        runs = running.read_bytes().startswith(b"cancer@")
        if runs:
            os.kill(gateway.pid, signal.SIGSEGV)
        os.kill(gateway.pid, signal.SIGCONT)
        if runs:
            return


def test_a_candidate_that_refuses_what_the_live_version_takes_is_taken_back_alone(tmp_path: Path) -> None:
    """Its training rows had no rows of one city, so that its encoder refuses it; `deploy` of an earlier release let it through."""
    with workspace_at(tmp_path / ".prodml") as workspace:
        add_shop(workspace, 1, ("Berlin", "Bonn", "Kiel", "Ulm"))
        add_shop(workspace, 2, ("Berlin", "Bonn", "Kiel"))
        with services(workspace):
            url = str(deploy(workspace, Deploy(model="shop@1")).url)
            with Load(url, ["Berlin", "Bonn", "Kiel"] * 3 + ["Ulm", "Bonn"], clients=2, body=shop_body) as load:
                wait_for(lambda: len(load.acknowledged) > 300)
                assert load.refused == []
                enter(workspace, read_guards("error_rate,rejected", "error_rate=0.03,rejected=0.02"))
                wait_for(lambda: workspace.rollout("shop").phase == "rolled back", PATIENCE)  # type: ignore[union-attr]
                shown = rollout(workspace, Rollout(model="shop"))
                assert "rejected worse at" in shown.reason and shown.version == 1
                wait_for(lambda: load.versions[-200:].count("1") == 200, PATIENCE)
                assert load.broken == 0 and load.refused
                assert all(status == 422 and "'Ulm'" in said for status, said in load.refused)


def test_a_candidate_that_crashes_a_worker_is_taken_back_alone(live: tuple[Workspace, Load]) -> None:
    workspace, load = live
    load.refused.clear()
    request = {**QUICK, "canary": "50,100", "guard": "error_rate", "margin": "", "bake": "5m"}
    deploy(workspace, Deploy(model=f"cancer@{SLOW}", **request))  # type: ignore[arg-type]
    wait_for(lambda: load.versions[-200:].count(str(SLOW)) > 20)
    crash(workspace, "*.canary")
    wait_for(lambda: phase(workspace) == "rolled back", PATIENCE)
    shown = rollout(workspace, Rollout(model="cancer"))
    assert shown.reason == f"the gateway crashed while version {SLOW} ran" and shown.version == 1
    with pytest.raises(GateRefused, match=f"cancer@{SLOW} crashed the gateway and is left out"):
        deploy(workspace, Deploy(model=f"cancer@{SLOW}", **request))  # type: ignore[arg-type]
    wait_for(lambda: load.versions[-200:].count("1") == 200, PATIENCE)
    assert load.refused == []


def test_a_version_that_takes_all_traffic_and_crashes_a_worker_goes_back_alone(live: tuple[Workspace, Load]) -> None:
    workspace, load = live
    load.refused.clear()
    deploy(workspace, Deploy(model=f"cancer@{GOOD}", blue_green=True, bake="5m", guard="error_rate"))
    wait_for(lambda: load.versions[-200:].count(str(GOOD)) == 200, PATIENCE)
    crash(workspace, "*.live")
    wait_for(lambda: phase(workspace) == "rolled back", PATIENCE)
    shown = rollout(workspace, Rollout(model="cancer"))
    assert shown.reason == f"the gateway crashed while version {GOOD} ran" and shown.version == 1
    with pytest.raises(GateRefused, match=f"cancer@{GOOD} crashed the gateway"):
        deploy(workspace, Deploy(model=f"cancer@{GOOD}", blue_green=True))
    wait_for(lambda: load.versions[-200:].count("1") == 200, PATIENCE)
    assert load.refused == []
    restarted = Services(workspace).gateway()
    assert restarted is not None
    os.kill(restarted.pid, signal.SIGKILL)  # whoever starts after that knows of no crash
    wait_for(lambda: (found := Services(workspace).gateway()) is not None and not found.models[0].crashed)


def test_a_good_candidate_walks_the_ladder_though_controller_and_gateway_are_killed_in_mid_step(
    live: tuple[Workspace, Load],
) -> None:
    workspace, load = live
    load.refused.clear()
    whole = {**QUICK, "canary": "1,5,25,50,100", "min_rows": 15}
    began = deploy(workspace, Deploy(model=f"cancer@{GOOD}", **whole))  # type: ignore[arg-type]
    wait_for(lambda: workspace.rollout("cancer").step >= 1, PATIENCE)  # type: ignore[union-attr]
    before = rollout(workspace, Rollout(model="cancer"))
    controller, gateway = Services(workspace).controller(), Services(workspace).gateway()
    assert controller is not None and gateway is not None
    os.kill(controller.pid, signal.SIGKILL)
    os.kill(gateway.pid, signal.SIGKILL)
    wait_for(lambda: phase(workspace) == "done", PATIENCE)
    shown = rollout(workspace, Rollout(model="cancer"))
    assert (shown.version, shown.previous, shown.began_at) == (GOOD, 1, began.began_at)
    assert shown.canary_requests > before.canary_requests > 0
    kinds = [event.kind for event in workspace.ledger.events("cancer")[-6:]]
    assert kinds == ["canary", "step", "step", "step", "promote", "finish"]
    assert f"exposure: {shown.canary_requests} requests" in str(shown)
    assert load.refused == []
    wait_for(lambda: load.versions[-200:].count(str(GOOD)) == 200, PATIENCE)
