"""%rollback and %undeploy: the two ways back that need neither MLflow nor the lake."""

from __future__ import annotations

from prodml_magics.actions.perform import ended
from prodml_magics.actions.results import ChangeResult
from prodml_magics.actions.switch import switch
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import NotFound
from prodml_magics.rollouts.blue_green import rolled_back, undeployed, without_canary
from prodml_magics.wire.names import check_name
from prodml_magics.wire.requests import Rollback, Undeploy
from prodml_magics.wire.routes import Route

__all__ = ["rollback", "undeploy"]


def rollback(workspace: Workspace, request: Rollback) -> ChangeResult:
    """All traffic back on the previous version; the controller brings the aliases after it."""
    before = _route(workspace, request.model)
    over = ended(workspace, before, "rolled back by hand")
    after = rolled_back(before)
    return ChangeResult(
        switch(workspace, before, after, kind="rollback", cause=request.why, details=over, undoable=before.canary is None)
    )


def undeploy(workspace: Workspace, request: Undeploy) -> ChangeResult:
    """Answer no more requests for the model once those in flight are answered."""
    before = _route(workspace, request.model)
    over = ended(workspace, before, "undeployed")
    back = without_canary(before)
    return ChangeResult(
        switch(workspace, before, undeployed(before), kind="undeploy", cause=request.why, details=over, back=back)
    )


def _route(workspace: Workspace, name: str) -> Route:
    check_name(name)
    if not workspace.has_ledger():
        raise NotFound(f"{name} is not deployed: nothing was ever done in {workspace.home}; set PRODML_HOME or change the folder")
    return workspace.ledger.route(name)
