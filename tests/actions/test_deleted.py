"""A version that is deleted in a real MLflow store while its rollout runs: held or taken back, said in one line, never promoted."""

from __future__ import annotations

import shutil
from pathlib import Path

import mlflow
import pytest
from homes import go_live, workspace_at
from rehearsal import Controller, Traffic, begin, clock

from prodml_magics.actions.rollout import rollout
from prodml_magics.actions.switch import mirror_aliases
from prodml_magics.actions.workspace import Workspace
from prodml_magics.clock import ManualClock
from prodml_magics.rollouts.guards import read_guards
from prodml_magics.wire.requests import Rollout

LADDER = {"steps": (50.0, 100.0), "guards": read_guards("error_rate", "error_rate=0.05")}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real store of SQLite with the versions of the ledger; its tables take seconds to make."""
    home = tmp_path_factory.mktemp("store")
    with workspace_at(home) as workspace:
        assert workspace.registry.names() == ()
        client = mlflow.MlflowClient(workspace.tracking_uri)
        client.create_registered_model("cancer")
        for version in (1, 2, 3):
            client.create_model_version("cancer", source=str(home / str(version)))
    return home / "mlflow.db"


@pytest.fixture
def client(workspace: Workspace, store: Path) -> mlflow.MlflowClient:
    shutil.copy(store, workspace.home / "mlflow.db")
    return mlflow.MlflowClient(workspace.tracking_uri)


@pytest.fixture
def home(workspace: Workspace, client: mlflow.MlflowClient) -> Workspace:
    """cancer@1 live, by a clock that stands still."""
    manual = Workspace(workspace.home, actor="ann@laptop (test)", clock=ManualClock(), environment={})
    go_live(manual, 1)
    assert manual.has_registry() and manual.registry.versions("cancer") == (1, 2, 3)
    return manual


def carried(home: Workspace, traffic: Traffic, controller: Controller, looks: int) -> None:
    for _ in range(looks):
        traffic.send(300)
        clock(home).advance(61)
        controller.look()


@pytest.mark.parametrize("whole", [False, True])
def test_a_deleted_candidate_is_held_where_it_would_be_promoted(
    home: Workspace, client: mlflow.MlflowClient, whole: bool
) -> None:
    traffic, controller = Traffic(home, 0), Controller(home)
    begin(home, **LADDER)
    traffic.send(100)
    controller.look()
    if whole:
        client.delete_registered_model("cancer")
    else:
        client.delete_model_version("cancer", "2")
    carried(home, traffic, controller, 4)
    state = home.rollout("cancer")
    assert state is not None and state.phase == "held" and home.route("cancer").live == 1
    said = "there is no model 'cancer'" if whole else "cancer has no version 2"
    assert state.reason == f"{said}; abort it, or resume once that is mended"
    event = home.ledger.events("cancer")[-1]
    assert (event.kind, event.payload["tier"]) == ("hold", "daily") and controller.advancing.problems == {}
    assert said in str(rollout(home, Rollout(model="cancer")))
    assert "cancer" in mirror_aliases(home, "cancer") or not whole  # told, and nothing raised
    rollout(home, Rollout(model="cancer", abort=True))
    assert home.route("cancer").canary is None and home.route("cancer").live == 1


def test_a_deleted_candidate_that_does_harm_is_taken_back_all_the_same(home: Workspace, client: mlflow.MlflowClient) -> None:
    traffic, controller = Traffic(home, 1, failing=0.3), Controller(home)
    begin(home, **LADDER)
    client.delete_model_version("cancer", "2")
    carried(home, traffic, controller, 2)
    state = home.rollout("cancer")
    assert state is not None and state.phase == "rolled back" and home.route("cancer").live == 1


def test_a_deleted_live_version_changes_nothing_until_the_candidate_is_live(home: Workspace, client: mlflow.MlflowClient) -> None:
    """Both are served from files of the home."""
    traffic, controller = Traffic(home, 2), Controller(home)
    begin(home, **LADDER)
    client.delete_model_version("cancer", "1")
    carried(home, traffic, controller, 3)
    assert home.route("cancer").live == 2 and home.route("cancer").previous == 1
