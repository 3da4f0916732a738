"""Puts a decision about a rollout in force: one ledger entry, and the route after it where that changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from prodml_magics.actions.switch import switch
from prodml_magics.actions.workspace import Workspace
from prodml_magics.rollouts.canary import Decision, in_force, route_of
from prodml_magics.wire.rollouts import GuardVerdict, RolloutState
from prodml_magics.wire.routes import Route

__all__ = ["ended", "perform", "running"]

_OF_THE_ROUTE = ("step", "promote", "rollback", "abort")


def perform(
    workspace: Workspace, before: Route, decision: Decision, verdicts: Sequence[GuardVerdict] = (), cause: str = ""
) -> int | None:
    """Enter `decision` into the ledger and have the gateway follow; returns the id of the entry.

    Raises `Conflict` when somebody else changed the model since `before` was read; then nothing has changed.
    """
    state = decision.state
    details: dict[str, Any] = {"rollout": msgspec.to_builtins(state), "verdicts": msgspec.to_builtins(list(verdicts))}
    if decision.tier is not None:
        details |= {"tier": decision.tier, "text": f"{state.model}@{state.plan.candidate}: {decision.reason}"}
    why = f"{decision.reason}: {cause}" if cause else decision.reason
    if decision.kind in _OF_THE_ROUTE:
        forward = decision.kind in ("step", "promote")
        after = route_of(state, before)
        back = route_of(replace(state, phase="aborted"), after) if forward else None
        return switch(workspace, before, after, kind=decision.kind, cause=why, details=details, back=back, undoable=forward).event
    event = workspace.ledger.append(
        kind=decision.kind,
        model=state.model,
        expected=before.revision,
        payload={**details, **workspace.origin},
        at=workspace.clock.now(),
        actor=workspace.actor,
        cause=why,
    )
    return event.id


def running(workspace: Workspace, route: Route) -> RolloutState | None:
    """The rollout that `route` follows; none when there is none or it is over."""
    state = workspace.rollout(route.model)
    return state if in_force(state, route) else None


def ended(workspace: Workspace, route: Route, reason: str) -> dict[str, Any]:
    """What an entry has to carry that takes the traffic away from a running rollout: its state, aborted; else nothing."""
    state = running(workspace, route)
    if state is None:
        return {}
    over = replace(state, phase="aborted", reason=reason, step_at=workspace.clock.now())
    return {"rollout": msgspec.to_builtins(over)}
