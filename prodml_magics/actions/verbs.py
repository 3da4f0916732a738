"""Which action carries out which request; actions load on use, so that listing verbs costs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from prodml_magics.wire.requests import VERBS, Request

if TYPE_CHECKING:
    from prodml_magics.actions.results import Result
    from prodml_magics.actions.workspace import Workspace

__all__ = ["run"]

_MODULES = {"undeploy": "rollback", "down": "up"}


def run(workspace: Workspace, request: Request, **context: Any) -> Result[Any]:
    """Carry out `request` in `workspace`; raises `ProdmlError` with one line for people."""
    verb = request.verb()
    assert verb in VERBS
    action = getattr(import_module(f"prodml_magics.actions.{_MODULES.get(verb, verb)}"), verb)
    result: Result[Any] = action(workspace, request, **context)
    return result
