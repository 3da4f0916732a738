"""A declared baseline is another version that takes and gives the same; it stays through deployments, and its files with it."""

from __future__ import annotations

import msgspec
import pytest
from homes import go_live

from prodml_magics.actions.baseline import with_baseline
from prodml_magics.actions.rollback import rollback, undeploy
from prodml_magics.actions.switch import switch
from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.schema import read_contract, write_contract
from prodml_magics.errors import GateRefused, InvalidInput, NotFound, ProdmlError, UsageError
from prodml_magics.rollouts.blue_green import promoted
from prodml_magics.wire.requests import Deploy, Rollback, Undeploy
from prodml_magics.wire.routes import Route


def deployed(workspace: Workspace, version: int, baseline: str = "") -> Route:
    """What `deploy` writes, while nothing runs."""
    before = workspace.route("cancer")
    after = promoted(before, workspace.files("cancer", version))
    switch(
        workspace,
        before,
        with_baseline(workspace, Deploy(model="cancer", baseline=baseline), after, version),
        kind="deploy",
        cause="",
    )
    return workspace.route("cancer")


def test_it_is_held_in_memory_through_every_change_until_it_is_taken_away(workspace: Workspace) -> None:
    assert deployed(workspace, 1, "3").loaded() == (1, 3)
    assert deployed(workspace, 2).loaded() == (2, 1, 3)
    rollback(workspace, Rollback(model="cancer"))
    assert workspace.route("cancer").loaded() == (1, 2, 3)
    undeploy(workspace, Undeploy(model="cancer"))
    assert workspace.route("cancer").loaded() == ()
    again = deployed(workspace, 2)
    assert (again.loaded(), again.file(3).version) == ((2, 3), 3)
    assert deployed(workspace, 1, "none").loaded() == (1, 2)


def test_it_may_be_live_itself_and_is_then_held_once(workspace: Workspace) -> None:
    deployed(workspace, 1, "cancer@2")
    go_live(workspace, 2)
    assert workspace.route("cancer").loaded() == (2, 1)


@pytest.mark.parametrize(
    ("baseline", "error", "said"),
    [
        ("1", InvalidInput, "version 1 cannot stand in for itself"),
        ("best", UsageError, "--baseline 'best' is no version"),
        ("9", NotFound, "there is no"),
        ("2", GateRefused, "version 2 cannot stand in for version 1: its columns are"),
        ("3", GateRefused, "version 3 cannot stand in for version 1: its outputs are"),
    ],
)
def test_what_cannot_stand_in_is_refused(workspace: Workspace, baseline: str, error: type[ProdmlError], said: str) -> None:
    for version in (2, 3):
        path = workspace.folder("cancer", version) / "contract.json"
        contract = read_contract(path.read_bytes())
        changed = {"columns": contract.columns[::-1]} if version == 2 else {"outputs": contract.outputs[:1]}
        path.write_bytes(write_contract(msgspec.structs.replace(contract, **changed)))
    go_live(workspace, 1)
    before = workspace.route("cancer")
    with pytest.raises(error) as refused:
        with_baseline(workspace, Deploy(model="cancer@1", baseline=baseline), before, 1)
    assert said in str(refused.value)
