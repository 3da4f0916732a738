"""Against a real MLflow server: register, fetch by alias, and fetch into the home of another machine before a deployment."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from homes import wait_for
from registry.here import Here
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.register import register
from prodml_magics.actions.workspace import Workspace
from prodml_magics.clock import SystemClock
from prodml_magics.errors import GateRefused, Unavailable
from prodml_magics.registry.mlflow_errors import load_mlflow, retried
from prodml_magics.wire.requests import Deploy, Register

ROWS, TARGET = load_iris(return_X_y=True)
FILES = {"model.onnx", "contract.json", "profile.arrow", "parity.json", "lineage.json", "samples.json"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the server's files."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[str]:
    """What ``mlflow server`` runs, started without its command line, which imports MLflow a second time and starts a job queue."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    known = {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{store}/mlflow.db",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(store / "artifacts"),
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with (store / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "mlflow.server.fastapi_app:app", "--port", str(port)],
            env={**os.environ, **known},
            cwd=store,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        load_mlflow()  # while the server imports it as well
        wait_for(lambda: process.poll() is not None or _answers(url), 120)
        assert process.poll() is None, (store / "log").read_text()
        yield url
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5) as reply:
        return bool(reply.status == 200)
    return False


def home_of(folder: Path, server: str) -> Workspace:
    environment = {"MLFLOW_TRACKING_URI": server}
    return Workspace(folder / ".prodml", actor="ann@laptop (test)", clock=SystemClock(), environment=environment)


@pytest.fixture(scope="module")
def home(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with home_of(tmp_path_factory.mktemp("laptop"), server) as workspace:
        model = LogisticRegression(max_iter=1000).fit(ROWS, TARGET)
        request = Register(model=model, name="iris", train=(ROWS, TARGET), test=(ROWS, TARGET))
        register(workspace, request, converter=Here())  # type: ignore[arg-type]
        yield workspace


def test_an_alias_brings_everything_that_was_registered(home: Workspace, server: str, tmp_path: Path) -> None:
    with retried(server) as ask:
        version = ask("get_model_version_by_alias", "iris", "candidate")
        run = ask("get_run", version.run_id)
        found = Path(ask.artifact("models:/iris@candidate", str(tmp_path)))
    assert int(version.version) == 1
    ours = home.folder("iris", 1)
    assert {path.name for path in ours.iterdir()} == FILES
    for name in FILES:
        assert (found / name).read_bytes() == (ours / name).read_bytes()
    assert run.data.metrics["accuracy"] > 0.9
    assert run.info.status == "FINISHED"
    assert [f"models:/{made.model_id}" for made in run.outputs.model_outputs] == [version.source]


def test_another_machine_fetches_what_it_deploys(home: Workspace, server: str, tmp_path: Path) -> None:
    with home_of(tmp_path, server) as other:
        plan = deploy(other, Deploy(model="iris@candidate", dry_run=True))
        assert "version 1 would be live" in plan.note
        files = other.files("iris", 1)
        assert files.model_sha256 == home.files("iris", 1).model_sha256
        assert {path.name for path in other.folder("iris", 1).iterdir()} == FILES
        assert other.registry.aliases("iris") == {"candidate": 1}


def test_what_was_changed_on_the_server_is_not_fetched(home: Workspace, server: str, store: Path, tmp_path: Path) -> None:
    [kept] = store.rglob("artifacts/**/model.onnx")
    registered = kept.read_bytes()
    kept.write_bytes(b"other")
    with home_of(tmp_path, server) as other, pytest.raises(GateRefused, match=r"model\.onnx of iris@1 was changed since"):
        other.files("iris", 1)
    kept.write_bytes(registered)


def test_a_server_that_is_not_there_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with (
        home_of(tmp_path, "http://127.0.0.1:9") as workspace,
        pytest.raises(Unavailable, match=r"\AMLflow at http://127\.0\.0\.1:9 cannot be used[^\n]*\Z"),
    ):
        workspace.registry.names()
