"""Trusted Python in production: registered in MLflow, answered for by a process of its own, which may hang or die."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import polars as pl
import psutil
import pytest
from homes import add_version, post, services, wait_for, workspace_at

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.register import register
from prodml_magics.actions.rollback import rollback
from prodml_magics.actions.shadow import shadow
from prodml_magics.actions.workspace import Workspace
from prodml_magics.engines.endings import ended
from prodml_magics.errors import GateRefused, NotFound
from prodml_magics.wire.requests import Deploy, Register, Rollback, Shadow

ROWS = np.arange(12.0).reshape(6, 2)


def moody(frame):
    """x0 + x1; throws at -1 and hangs at -2."""
    import time

    if (frame["x0"] == -1).any():
        raise ValueError("no minus one, please")
    if (frame["x0"] == -2).any():
        time.sleep(600)
    return frame["x0"] + frame["x1"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    found = workspace_at(tmp_path_factory.mktemp("python") / ".prodml")
    for description in ("first", "second"):
        registered = register(found, Register(model=moody, name="rule", train=(ROWS,), trust=True, description=description))
        assert registered.record.flavor == "python"
    return found


def children_of(pid: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(pid).children() if "prodml_magics.registry.trusted" in child.cmdline()]


def test_mlflow_alone_can_load_and_ask_it(workspace: Workspace) -> None:
    folder = next((workspace.home / "mlartifacts").rglob("model.pkl")).parent
    loaded = mlflow.pyfunc.load_model(str(folder))
    assert loaded.predict({"input": ROWS})["prediction"].tolist() == [1, 5, 9, 13, 17, 21]


def test_it_serves_throws_hangs_dies_and_goes_on_beside_another_model(workspace: Workspace) -> None:
    other = add_version(workspace, 1)
    with services(workspace) as running:
        url = deploy(workspace, Deploy(model="rule@1")).url
        predict = f"{url.replace('/v2/models/', '/predict/')}"
        deploy(workspace, Deploy(model="cancer@1"))
        assert post(predict, {"x0": 1.5, "x1": 2})[1]["predictions"] == [{"prediction": 3.5}]
        with urllib.request.urlopen(url) as response:
            assert json.load(response)["platform"] == "python"
        gateway = running.gateway().pid
        (child,) = children_of(gateway)

        status, body = post(predict, {"x0": -1, "x1": 2})
        assert (status, body["error"]) == (500, "rule@1 failed on these rows (ValueError: no minus one, please)")

        hanging = threading.Thread(target=post, args=(predict, {"x0": -2, "x1": 0}), kwargs={"timeout": 60})
        hanging.start()
        time.sleep(0.3)
        started = time.monotonic()
        for row in other.rows[:20]:
            names = [column.name for column in other.contract.columns]
            assert post(predict.replace("/rule", "/cancer"), dict(zip(names, row.tolist(), strict=True)))[0] == 200
        assert time.monotonic() - started < 2, "a model that hangs must not hold up another"

        os.kill(child.pid, signal.SIGKILL)
        hanging.join()
        assert post(predict, {"x0": 2, "x1": 2})[1]["predictions"] == [{"prediction": 4.0}]
        assert running.gateway().pid == gateway

        assert running.drain().problems == {}
        logged = pl.read_delta(str(workspace.home / "lake" / "requests" / "rule"))
        assert logged.sort("received_at")["status"].to_list() == [200, 500, 500, 200]

        shadow(workspace, Shadow(model="rule@2"))
        for value in range(5):
            assert post(predict, {"x0": value, "x1": 0})[0] == 200
        wait_for(lambda: running.drain() and workspace.lake.rows("rule", arms=["shadow"]).height == 5)
        deploy(workspace, Deploy(model="rule@2"))
        assert rollback(workspace, Rollback(model="rule")).version == 1
    wait_for(lambda: ended(child.pid, 0.0) and not any(map(_answers_for_rule, psutil.process_iter())))


def _answers_for_rule(process: psutil.Process) -> bool:
    try:
        home = process.environ().get("PRODML_HOME", "")
        return "prodml_magics.registry.trusted" in process.cmdline() and home.endswith("python0/.prodml")
    except psutil.Error:
        return False


def test_python_that_was_registered_elsewhere_is_not_run(workspace: Workspace, tmp_path: Path) -> None:
    theirs = Workspace(
        tmp_path / ".prodml",
        actor="bob",
        clock=workspace.clock,
        environment={"MLFLOW_TRACKING_URI": workspace.tracking_uri, "HOME": str(tmp_path)},
    )
    with theirs, pytest.raises((GateRefused, NotFound), match="registered elsewhere, and can run any code"):
        deploy(theirs, Deploy(model="rule@1"))
