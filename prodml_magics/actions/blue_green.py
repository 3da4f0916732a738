"""``%deploy NAME@V``, blue-green: what is watched after all traffic was switched at once, and when there is nothing to watch."""

from __future__ import annotations

from prodml_magics.actions.canary import state_of
from prodml_magics.actions.windows import parse_duration
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import InvalidInput, UsageError
from prodml_magics.rollouts.guards import needs_control, read_guards
from prodml_magics.wire.requests import Deploy
from prodml_magics.wire.rollouts import RolloutPlan, RolloutState
from prodml_magics.wire.routes import Route

__all__ = ["refuse_stray_flags", "watch"]

_BAKE = "5m"
_UNWATCHED = "none"
_OF_WATCHES = ("guard", "margin", "alpha")
_OF_LADDERS = ("min_rows", "deadline", "isolate", "segment")


def watch(workspace: Workspace, request: Deploy, before: Route, version: int) -> RolloutState | None:
    """The rollout that watches `version` for ``--bake`` once it is live; none where no other version was, to return to, or
    where nobody wants it to be (``--bake none``)."""
    guards = read_guards(request.guard, request.margin)
    lonely = [guard.metric for guard in guards if needs_control(guard.metric)]
    if lonely:
        raise InvalidInput(
            f"{lonely[0]} compares two versions that answer at the same time, and a switch of all traffic leaves one: what came "
            "before it is no control, since nobody drew who asked when; use a ladder, such as --canary 5,25,100, or ask the candidate "
            "before it answers anybody, with --shadow-first 2000 or %replay"
        )
    bake = None if request.bake == _UNWATCHED else parse_duration(request.bake or _BAKE).total_seconds()
    if bake is None:
        _refuse_unwatched(request)
    if bake is None or before.live is None or before.live == version:
        return None
    plan = RolloutPlan(control=before.live, candidate=version, steps=(100.0,), guards=guards, alpha=request.alpha, bake=bake)
    return state_of(workspace, request, before, plan)


def _refuse_unwatched(request: Deploy) -> None:
    default = Deploy(model=request.model)
    for name in _OF_WATCHES:
        if getattr(request, name) != getattr(default, name):
            raise UsageError(f"--{name} says what the watch goes by, and --bake none leaves it out; give one of them")


def refuse_stray_flags(request: Deploy) -> None:
    """`UsageError` for a flag that means nothing without a ladder."""
    default = Deploy(model=request.model)
    for name in _OF_LADDERS:
        if getattr(request, name) != getattr(default, name):
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag} is for a canary; give its steps as well, such as --canary 1,5,25,50,100")
