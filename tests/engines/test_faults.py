"""Real processes, really killed: what was answered is in the lake exactly once, and service is back within three seconds."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from pathlib import Path

import polars as pl
import psutil
import pytest
from homes import Load, add_version, answers, infer_body, post, services, wait_for, workspace_at

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.rollback import rollback, undeploy
from prodml_magics.actions.services import Services
from prodml_magics.actions.status import status
from prodml_magics.actions.up import down, up
from prodml_magics.actions.workspace import Workspace
from prodml_magics.engines import local
from prodml_magics.engines.endings import ended
from prodml_magics.errors import Conflict, ProdmlError, Unavailable
from prodml_magics.storage.runtime import lock_holder
from prodml_magics.wire.requests import Deploy, Down, Rollback, Status, Undeploy, Up


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return workspace_at(tmp_path / ".prodml")


def go_live(workspace: Workspace, version: int) -> str:
    """Deploy without MLflow's aliases, which other tests cover; returns the model's URL."""
    result = deploy(workspace, Deploy(model=f"cancer@{version}"))
    assert result.version == version
    return str(result.url)


def logged_ids(workspace: Workspace, running: Services) -> list[str]:
    drained = running.drain()
    assert drained is not None and drained.problems == {}
    rows = workspace.lake.rows("cancer", arms=["live"])
    return [] if rows.is_empty() else rows["request_id"].to_list()


def gateway_pid(running: Services) -> int | None:
    report = running.gateway()
    return None if report is None else report.pid


def test_kill_9_of_gateway_and_controller_under_load_loses_nothing(workspace: Workspace) -> None:
    placed = add_version(workspace, 1)
    with services(workspace) as running:
        url = go_live(workspace, 1)
        with Load(url, placed.rows) as load:
            for _ in range(3):
                seen = len(load.acknowledged)
                wait_for(lambda count=seen: len(load.acknowledged) > count + 200)
                gateway, controller = gateway_pid(running), running.controller()
                assert gateway is not None and controller is not None
                os.kill(controller.pid, signal.SIGKILL)
                os.kill(gateway, signal.SIGKILL)
                assert wait_for(lambda: answers(url), 10) < 3.0
                assert gateway_pid(running) != gateway
                wait_for(lambda old=controller.pid: (report := running.controller()) is not None and report.pid != old)
        assert load.refused == []
        ids = logged_ids(workspace, running)
        assert len(ids) == len(set(ids))
        assert set(load.acknowledged) <= set(ids)
        assert len(set(ids) - set(load.acknowledged)) <= load.broken


def test_no_request_fails_while_versions_are_switched_under_load(workspace: Workspace) -> None:
    placed = add_version(workspace, 1)
    add_version(workspace, 2, c=0.01)
    with services(workspace) as running:
        url = go_live(workspace, 1)
        with Load(url, placed.rows) as load:
            for _ in range(4):
                go_live(workspace, 2)
                seen = len(load.acknowledged)
                wait_for(lambda count=seen: len(load.acknowledged) > count + 50)
                result = rollback(workspace, Rollback(model="cancer"))
                assert (result.version, result.previous, result.seconds < 1.0) == (1, 2, True)
                go_live(workspace, 1)
        assert (load.refused, load.broken) == ([], 0)
        assert set(load.versions) == {"1", "2"}
        assert sorted(logged_ids(workspace, running)) == sorted(load.acknowledged)


def test_children_outlive_their_supervisor_and_the_next_one_takes_them_over(workspace: Workspace) -> None:
    placed = add_version(workspace, 1)
    with services(workspace) as running:
        url = go_live(workspace, 1)
        before = gateway_pid(running)
        supervisor = lock_holder(workspace.home / "run" / "supervisor.lock")
        assert supervisor is not None
        os.kill(supervisor, signal.SIGKILL)
        wait_for(lambda: not local.is_running(workspace.home))
        assert post(f"{url}/infer", infer_body(placed.rows[:1]))[0] == 200
        assert up(workspace, Up()).changed
        assert gateway_pid(running) == before
        assert before is not None
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: gateway_pid(running) not in (None, before), 10)
        assert post(f"{url}/infer", infer_body(placed.rows[:1]))[0] == 200


def test_down_stops_every_process_and_up_comes_back_on_the_same_port(workspace: Workspace) -> None:
    placed = add_version(workspace, 1)
    with services(workspace) as running:
        url = go_live(workspace, 1)
        pids = {gateway_pid(running), running.controller().pid, lock_holder(workspace.home / "run" / "supervisor.lock")}
        # A database URL may hold a password, and everybody can list processes.
        assert not any(workspace.ledger_url in word for pid in pids if pid for word in psutil.Process(pid).cmdline())
        assert down(workspace, Down()).changed
        assert all(ended(pid, 0.0) for pid in pids if pid)
        report = status(workspace, Status())
        assert (report.gateway.state, report.controller.state) == ("down", "down")
        assert report.models[0].live == 1
        assert not down(workspace, Down()).changed
        up(workspace, Up())
        assert post(f"{url}/infer", infer_body(placed.rows[:1]))[0] == 200


def test_runtime_file_is_private_and_a_stale_or_broken_one_does_no_harm(workspace: Workspace) -> None:
    path = workspace.home / "runtime.json"
    workspace.make_home()
    for content in ("{", '{"token": "old"}', json.dumps({"token": "t", "gateway": {"url": "http://127.0.0.1:1", "pid": 1}})):
        path.write_text(content)
        assert status(workspace, Status()).gateway.state == "down"
        with services(workspace) as running:
            assert gateway_pid(running) is not None
            assert path.stat().st_mode & 0o777 == 0o600


def test_a_taken_port_is_refused_with_the_way_out(workspace: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"port {port} is taken; choose another with `prodml up --port PORT`"):
            up(workspace, Up(port=port))
    assert not local.is_running(workspace.home)
    with services(workspace, port) as running:
        assert running.url() == f"http://127.0.0.1:{port}"
        with pytest.raises(Conflict, match="already runs"):
            up(workspace, Up(port=port + 1))


def test_of_two_who_deploy_at_once_one_wins_and_the_other_is_told(workspace: Workspace) -> None:
    add_version(workspace, 1)
    add_version(workspace, 2)
    add_version(workspace, 3)
    with services(workspace):
        go_live(workspace, 1)
        barrier = threading.Barrier(2)
        outcomes: list[str] = []

        def notebook(version: int) -> None:
            own = workspace_at(workspace.home)
            honest = own.ledger.append

            def at_the_same_moment(**event: object) -> object:
                barrier.wait(10)
                return honest(**event)  # type: ignore[arg-type]

            own.ledger.append = at_the_same_moment  # type: ignore[method-assign, assignment]
            try:
                outcomes.append(f"live {deploy(own, Deploy(model=f'cancer@{version}')).version}")
            except Conflict as error:
                outcomes.append(str(error))
            own.ledger.close()

        threads = [threading.Thread(target=notebook, args=(version,)) for version in (2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        told, won = sorted(outcomes)
        assert told.startswith("cancer was changed by ann@laptop (test) in the meantime")
        report = status(workspace, Status()).models[0]
        assert won == f"live {report.live}"
        assert (report.previous, report.revision) == (1, 5)


def test_a_deploy_that_dies_before_the_ledger_changes_nothing_and_after_it_is_carried_out(workspace: Workspace) -> None:
    placed = add_version(workspace, 1)
    add_version(workspace, 2)
    with services(workspace) as running:
        url = go_live(workspace, 1)
        own = workspace_at(workspace.home)
        honest = own.ledger.append

        def dies(**_event: object) -> None:
            raise KeyboardInterrupt

        own.ledger.append = dies  # type: ignore[method-assign, assignment]
        with pytest.raises(KeyboardInterrupt):
            deploy(own, Deploy(model="cancer@2"))
        assert post(f"{url}/infer", infer_body(placed.rows[:1]))[1]["model_version"] == "1"

        def dies_afterwards(**event: object) -> None:
            honest(**event)  # type: ignore[arg-type]
            raise KeyboardInterrupt

        own.ledger.append = dies_afterwards  # type: ignore[method-assign, assignment]
        with pytest.raises(KeyboardInterrupt):
            deploy(own, Deploy(model="cancer@2"))
        wait_for(lambda: post(f"{url}/infer", infer_body(placed.rows[:1]))[1]["model_version"] == "2", 5)
        assert running.gateway() is not None
        own.ledger.close()


def test_an_undeployed_model_is_404_and_a_home_that_is_a_file_is_one_line(workspace: Workspace, tmp_path: Path) -> None:
    placed = add_version(workspace, 1)
    with services(workspace):
        url = go_live(workspace, 1)
        undeploy(workspace, Undeploy(model="cancer"))
        code, body = post(f"{url}/infer", infer_body(placed.rows[:1]))
        assert (code, "deployed: none" in body["error"]) == (404, True)
        with pytest.raises(ProdmlError, match="not deployed"):
            rollback(workspace, Rollback(model="cancer"))
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="set PRODML_HOME"):
        up(workspace_at(tmp_path / "file" / ".prodml"), Up())


def test_rows_are_paired_with_their_shadow_by_identity_not_by_request_id(workspace: Workspace) -> None:
    from prodml_magics.actions.shadow import shadow
    from prodml_magics.wire.requests import Shadow

    placed = add_version(workspace, 1)
    other = add_version(workspace, 2, c=1e-4)
    with services(workspace) as running:
        url = go_live(workspace, 1)
        shadow(workspace, Shadow(model="cancer@2"))
        for index in range(0, 200, 4):
            assert post(f"{url}/infer", infer_body(placed.rows[index : index + 4], "same"))[0] == 200
        wait_for(lambda: running.gateway().models[0].traffic.shadow_rows == 200)
        wait_for(lambda: shadow(workspace, Shadow(model="cancer")).comparisons[0].pairs == 200)
        result = shadow(workspace, Shadow(model="cancer"))
        rows = placed.rows[:200]
        agreement = (placed.model.predict(rows) == other.model.predict(rows)).mean()
        assert result.comparisons[0].agreement == pytest.approx(agreement)
        difference = other.model.predict_proba(rows)[:, 1] - placed.model.predict_proba(rows)[:, 1]
        assert result.comparisons[0].mean_difference == pytest.approx(difference.mean(), abs=1e-5)
        assert agreement < 1 and result.comparisons[0].verdict.reason.startswith(
            f"differs on {100 * (1 - agreement):.2f} % of 200 rows"
        )
        stopped = shadow(workspace, Shadow(model="cancer", stop=True))
        assert stopped.shadows == ()
        lake = workspace.lake.rows("cancer", statuses=None)
        assert lake.group_by("arm").agg(pl.len()).sort("arm").rows() == [("live", 200), ("shadow", 200)]
