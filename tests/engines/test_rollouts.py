"""Canary rollouts over real HTTP, with a live gateway, a controller, and clients that never stop asking."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest
from homes import Load, add_version, services, wait_for, workspace_at

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.rollout import rollout
from prodml_magics.actions.services import Services
from prodml_magics.actions.workspace import Workspace
from prodml_magics.wire.requests import Deploy, Rollout

GOOD, FAILING, SLOW = 2, 3, 4
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
    wait_for(lambda: phase(workspace) == "rolled back", 40)
    shown = rollout(workspace, Rollout(model="cancer"))
    assert guard in shown.reason and shown.version == 1
    assert 0 < shown.canary_requests < shown.control_requests
    wait_for(lambda: load.versions[-200:].count("1") == 200)
    assert all(f"cancer@{version}" in said for _, said in load.refused) and load.broken == 0
    event = workspace.ledger.events("cancer")[-1]
    assert (event.kind, event.actor, event.payload["tier"]) == ("rollback", "controller", "immediate")


def test_a_good_candidate_walks_the_ladder_though_controller_and_gateway_are_killed_in_mid_step(
    live: tuple[Workspace, Load],
) -> None:
    workspace, load = live
    load.refused.clear()
    began = deploy(workspace, Deploy(model=f"cancer@{GOOD}", **QUICK))  # type: ignore[arg-type]
    wait_for(lambda: workspace.rollout("cancer").step >= 1, 40)  # type: ignore[union-attr]
    before = rollout(workspace, Rollout(model="cancer"))
    controller, gateway = Services(workspace).controller(), Services(workspace).gateway()
    assert controller is not None and gateway is not None
    os.kill(controller.pid, signal.SIGKILL)
    os.kill(gateway.pid, signal.SIGKILL)
    wait_for(lambda: phase(workspace) == "done", 90)
    shown = rollout(workspace, Rollout(model="cancer"))
    assert (shown.version, shown.previous, shown.began_at) == (GOOD, 1, began.began_at)
    assert shown.canary_requests > before.canary_requests > 0
    kinds = [event.kind for event in workspace.ledger.events("cancer")[-5:]]
    assert kinds == ["canary", "step", "step", "promote", "finish"]
    assert load.refused == []
    wait_for(lambda: load.versions[-200:].count(str(GOOD)) == 200)
