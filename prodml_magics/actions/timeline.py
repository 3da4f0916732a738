"""%timeline: what was live when, by whom and why."""

from __future__ import annotations

from prodml_magics.actions.results import TimelineResult
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import NotFound
from prodml_magics.wire.events import ROUTE_KINDS, Event
from prodml_magics.wire.names import check_name
from prodml_magics.wire.requests import Timeline
from prodml_magics.wire.results import TimelineRecord
from prodml_magics.wire.status import TimelineEntry

__all__ = ["timeline"]


def timeline(workspace: Workspace, request: Timeline) -> TimelineResult:
    """The latest entries of the ledger, oldest first."""
    if request.model:
        check_name(request.model)
    events = workspace.ledger.events(request.model, limit=request.limit) if workspace.has_ledger() else []
    if request.model and not events:
        raise NotFound(f"the ledger of {workspace.home} has no entry for {request.model}; register it with %register")
    last = {event.model: event.id for event in events if event.kind in ROUTE_KINDS}
    return TimelineResult(TimelineRecord(entries=tuple(_entry(event, last) for event in events)))


def _entry(event: Event, last: dict[str, int]) -> TimelineEntry:
    route = event.payload.get("route") or {}
    return TimelineEntry(
        id=event.id,
        at=event.at,
        actor=event.actor,
        model=event.model,
        kind=event.kind,
        summary=_summary(event, route),
        live=route.get("live"),
        cause=event.cause,
        can_undo=event.inverse is not None and last.get(event.model) == event.id,
    )


def _summary(event: Event, route: dict[str, object]) -> str:
    if event.kind == "register":
        return f"version {event.payload['version']} registered"
    live, previous = route.get("live"), route.get("previous")
    if live is None:
        return "no version is live"
    parts = [f"version {live} live"]
    if previous is not None:
        parts.append(f"version {previous} kept as previous")
    shadows = route.get("shadows")
    if isinstance(shadows, list) and shadows:
        parts.append("shadow " + ", ".join(f"{each['version']} at {each['sample']:.0%}" for each in shadows))
    return ", ".join(parts)
