"""``%deploy --baseline``: the version that answers when neither the live one nor the one before it can."""

from __future__ import annotations

from msgspec.structs import replace

from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.compare import stand_in_problem
from prodml_magics.errors import GateRefused, InvalidInput, UsageError
from prodml_magics.wire.names import parse_reference
from prodml_magics.wire.requests import Deploy
from prodml_magics.wire.routes import Route

__all__ = ["with_baseline"]


def with_baseline(workspace: Workspace, request: Deploy, route: Route, version: int) -> Route:
    """`route`, on which `version` is live or a canary, with the baseline that `request` names, and the files of the one that it has.

    Raises `InvalidInput` for the version itself, `GateRefused` for one that takes or gives other tensors.
    """
    if request.baseline:
        number = None if request.baseline == "none" else _checked(workspace, request, version)
        route = replace(route, serving=replace(route.serving, baseline=number))
    known = {entry.version for entry in route.files}
    lacking = [workspace.files(route.model, number) for number in route.loaded() if number not in known]
    return replace(route, files=(*route.files, *lacking))


def _checked(workspace: Workspace, request: Deploy, version: int) -> int:
    text = request.baseline.rpartition("@")[2]
    if not text.isdecimal() or not 0 < len(text) < 10:
        raise UsageError(f"--baseline {request.baseline!r} is no version; write its number, or none")
    number, model = int(text), parse_reference(request.model).name
    if number == version:
        raise InvalidInput(
            f"version {number} cannot stand in for itself; register a rule that cannot fail with %register --trust"
        )
    problem = stand_in_problem(workspace.contract(model, number), workspace.contract(model, version))
    if problem:
        raise GateRefused(f"version {number} cannot stand in for version {version}: {problem}; register it on the same columns")
    return number
