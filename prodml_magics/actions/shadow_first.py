"""``%deploy NAME@V --shadow-first N``: a deployment that waits until a shadow has seen enough rows; the controller goes on."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from prodml_magics.actions.apart import apart
from prodml_magics.actions.results import ChangeResult
from prodml_magics.actions.services import Services
from prodml_magics.actions.switch import switch, unchanged
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import InvalidInput
from prodml_magics.rollouts.shadow import Follows, shadowed
from prodml_magics.wire.events import Event
from prodml_magics.wire.requests import Deploy
from prodml_magics.wire.routes import Route, ShadowPlan, ShadowRoute

__all__ = ["begin_shadow_first", "follows", "followed_by"]


def begin_shadow_first(workspace: Workspace, request: Deploy, before: Route, version: int) -> ChangeResult:
    """Mirror the first rows; `request` was found to be possible already, and is kept in the entry for the controller."""
    if before.live is None:
        raise InvalidInput(
            f"{before.model} has no live traffic to mirror, so --shadow-first cannot be; deploy it without with %deploy {before.model}"
        )
    rows, then = request.shadow_first, replace(request, shadow_first=None, model=f"{before.model}@{version}")
    what = f"then the canary {then.canary}" if then.canary else "then all traffic goes to it"
    note = f"the next {rows:,} rows are mirrored to version {version}, {what}"
    if request.dry_run:
        return ChangeResult(unchanged(workspace, before, "dry run", note))
    plan = ShadowPlan(began_at=workspace.clock.now(), rows=rows, alpha=request.alpha)
    files = workspace.files(before.model, version)
    after = shadowed(before, replace(files, isolate=files.isolate or request.isolate), 1.0, plan)
    services = Services(workspace)
    services.up()
    after, place = apart(services, after, version)
    details = {"then": msgspec.to_builtins(then)}
    change = switch(workspace, before, after, kind="shadow", cause=request.why or note, details=details)
    return ChangeResult(replace(change, note="; ".join(text for text in (note, place, change.note) if text)))


def followed_by(events: list[Event], shadow: ShadowRoute) -> Deploy | None:
    """The deployment that `shadow` leads to; none when it leads nowhere. `events` are the model's."""
    for event in reversed(events):
        if event.kind != "shadow" or "then" not in event.payload:
            continue
        begun = msgspec.convert(event.payload["route"], type=Route).shadows[-1]
        if begun == shadow:
            return msgspec.convert(event.payload["then"], type=Deploy)
    return None


def follows(request: Deploy | None) -> Follows:
    """What kind of deployment that is."""
    return "nothing" if request is None else "canary" if request.canary else "everything"
