"""%whatif: the past rollouts of a model decided anew, under another ladder or other guards, from the rows that the lake has of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from prodml_magics.actions.answered import fresh_evidence
from prodml_magics.actions.canary import refuse_short_deadline
from prodml_magics.actions.recorded import read_record
from prodml_magics.actions.results import WhatifResult
from prodml_magics.actions.rollout import evidence_of
from prodml_magics.actions.shadow_first import followed_by
from prodml_magics.actions.windows import parse_duration
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import NotFound
from prodml_magics.rollouts.guards import margin_text, read_guards
from prodml_magics.rollouts.plan import read_steps
from prodml_magics.rollouts.whatif import Redecided, redecide
from prodml_magics.wire.events import Event
from prodml_magics.wire.names import check_name
from prodml_magics.wire.requests import Whatif
from prodml_magics.wire.results import WhatifRecord, WhatifRollout
from prodml_magics.wire.rollouts import Guard, RolloutPlan, RolloutState
from prodml_magics.wire.routes import Route, ShadowRoute

__all__ = ["whatif"]

_EARLIER = timedelta(days=1)
_LATER = timedelta(days=7)
"""How far behind the end of a rollout its record is read, for plans that would have taken longer; and how long taking it back counts."""


class _Past(NamedTuple):
    began: Event
    state: RolloutState
    """As it began."""
    ended: str
    ended_at: datetime
    """When it was live, taken back or held; else the latest entry about it."""
    next_at: datetime | None
    """When the next rollout began."""


def whatif(workspace: Workspace, request: Whatif) -> WhatifResult:
    """Each of the latest rollouts under the plan that it had, with what `request` changes of it."""
    name = check_name(request.model)
    past = _past(workspace.ledger.events(name) if workspace.has_ledger() else [])
    if not past:
        raise NotFound(f"{name} never had a rollout to decide anew; begin one with %deploy {name}@VERSION --canary 1,5,25,50,100")
    for each in past:
        _plan(request, each.state.plan)  # what cannot be meant is refused before anything is read
    found = [_redecided(workspace, request, each) for each in past[-request.limit :]]
    harmful = [each for each in found if each.ended in _TAKEN_BACK and not each.note]
    stayed = [each for each in found if each.ended == "done" and each.would_end == "live"]
    return WhatifResult(
        WhatifRecord(
            model=name,
            rollouts=tuple(found),
            exposure_saved=sum(each.exposure - each.would_expose for each in harmful),
            incidents=len(harmful),
            caught=sum(each.would_end == "rolled back" for each in harmful),
            hours_lost=sum(each.would_take - each.hours for each in stayed),
        )
    )


_TAKEN_BACK = ("rolled back", "taken back")


def _past(events: Sequence[Event]) -> list[_Past]:
    """Every rollout of a model, oldest first."""
    states = [
        (event, msgspec.convert(event.payload["rollout"], type=RolloutState)) for event in events if "rollout" in event.payload
    ]
    begins = [(event, state) for event, state in states if event.revision == state.id]
    found = []
    for index, (began, state) in enumerate(begins):
        mine = [each for each in states if each[1].id == state.id]
        following = begins[index + 1][0].at if index + 1 < len(begins) else None
        ended, at = _ending(events, mine)
        found.append(_Past(began, state, ended, at, following))
    return found


def _ending(events: Sequence[Event], mine: Sequence[tuple[Event, RolloutState]]) -> tuple[str, datetime]:
    """How a rollout ended, and when the candidate was live, taken back or held."""
    event, last = mine[-1]
    live = next((each.at for each, state in mine if state.phase == "baking"), None)
    if last.phase == "done" and _taken_back(events, event, last):
        return "taken back", live or event.at
    if last.phase == "aborted" and live is not None:
        return "taken back", event.at
    return last.phase, live if last.phase in ("done", "baking") and live is not None else event.at


def _taken_back(events: Sequence[Event], done: Event, state: RolloutState) -> bool:
    """Whether the control was live again, in place of the candidate, within a week after the rollout was done.

    Not when it was promoted, or deployed after a shadow of it that was asked to come first: that had to show that it is no worse, so
    that nothing was taken back in a hurry.
    """
    shadows: tuple[ShadowRoute, ...] = ()
    for place, event in enumerate(events):
        if event.id <= done.id or event.at > done.at + _LATER or "route" not in event.payload:
            continue
        route = msgspec.convert(event.payload["route"], type=Route)
        if route.live != state.plan.candidate:
            waited = event.kind == "deploy" and any(
                each.version == route.live and followed_by(list(events[:place]), each) for each in shadows
            )
            return route.live == state.plan.control and event.kind != "promote" and not waited
        shadows = route.shadows
    return False


def _plan(request: Whatif, plan: RolloutPlan) -> RolloutPlan:
    """`plan` with what is asked for in its place."""
    changes: dict[str, Any] = {"guards": _guards(request, plan.guards)}
    if request.canary:
        changes["steps"] = read_steps(request.canary)
    if request.alpha is not None:
        changes["alpha"] = request.alpha
    if request.min_rows is not None:
        changes["min_rows"] = request.min_rows
    for name in ("bake", "deadline"):
        if getattr(request, name):
            changes[name] = parse_duration(getattr(request, name)).total_seconds()
    changed = replace(plan, **changes)
    if not changed.at_once and (request.bake or request.deadline):
        refuse_short_deadline(changed)
    return changed


def _guards(request: Whatif, before: tuple[Guard, ...]) -> tuple[Guard, ...]:
    if not request.guard and not request.margin:
        return before
    if request.guard:
        return read_guards(request.guard, request.margin)
    names = [guard.metric for guard in before]
    named = [entry.partition("=")[0].strip() for entry in request.margin.split(",")]
    kept = [f"{guard.metric}={margin_text(guard)}" for guard in before if guard.metric not in named]
    return read_guards(",".join(names), ",".join([*kept, request.margin]))


def _redecided(workspace: Workspace, request: Whatif, past: _Past) -> WhatifRollout:
    plan = _plan(request, past.state.plan)
    state = replace(past.state, plan=plan, phase="baking" if plan.at_once else "running", step=0)
    hours = (past.ended_at - state.began_at).total_seconds() / 3600
    until = min(filter(None, (past.next_at, past.ended_at + _LATER)))
    found = read_record(workspace, state, since=past.began.at - _EARLIER, until=until)
    if found is None:
        nothing = Redecided(replace(state, phase="held", reason=""), 0.0, 0, 0.0)
        return _told(past, nothing, 0, hours, "undecided", _unrecorded(workspace, past.state))
    recorded = found.recorded
    exposed = recorded.candidate & (recorded.second >= 0) & (recorded.second <= hours * 3600)
    anew = redecide(state, fresh_evidence(workspace, state), recorded, ended=hours * 3600)
    return replace(_told(past, anew, int(exposed.sum()), hours, _would_end(anew.state), ""), unknown=found.unknown)


def _unrecorded(workspace: Workspace, state: RolloutState) -> str:
    """Why nothing can be decided anew: what the controller counted tells whether there ever was something."""
    kept = evidence_of(workspace, state)
    if kept is None or not kept.canary_requests or not sum(kept.requests[0]):
        return "no requests that both versions answered were recorded"
    return "the lake has no answers of both versions any more"


def _told(past: _Past, found: Redecided, exposure: int, hours: float, would_end: str, note: str) -> WhatifRollout:
    return WhatifRollout(
        event=past.began.id,
        began_at=past.began.at,
        control=past.state.plan.control,
        candidate=past.state.plan.candidate,
        ended=past.ended,
        would_end=would_end,
        reason=found.state.reason,
        exposure=exposure,
        would_expose=found.exposure,
        hours=hours,
        would_take=found.seconds / 3600,
        lent=found.lent,
        note=note,
    )


def _would_end(state: RolloutState) -> str:
    if state.phase in ("baking", "done"):
        return "live"
    return state.phase if state.phase in ("rolled back", "held") else "undecided"
