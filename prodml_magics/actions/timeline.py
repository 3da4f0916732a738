"""%timeline: what was live when, by whom and why."""

from __future__ import annotations

from typing import Any

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
    live: dict[str, int | None] = {}
    return TimelineResult(TimelineRecord(entries=tuple(_entry(event, last, live) for event in events)))


def _entry(event: Event, last: dict[str, int], live: dict[str, int | None]) -> TimelineEntry:
    """One entry for people; `live` says what answers, by model, and goes on from entry to entry."""
    route = event.payload.get("route") or {}
    if route:
        live[event.model] = route.get("live")
    return TimelineEntry(
        id=event.id,
        at=event.at,
        actor=event.actor,
        model=event.model,
        kind=event.kind,
        summary=_summary(event, route),
        live=live.get(event.model),
        canary=route["canary"]["version"] if route.get("canary") else None,
        share=route["canary"]["share"] if route.get("canary") else None,
        tier=event.payload.get("tier"),
        cause=event.cause,
        cell=_cell(event),
        evidence=_evidence(event),
        source=event.payload.get("cell", {}).get("source", ""),
        can_undo=event.inverse is not None and last.get(event.model) == event.id,
    )


def _evidence(event: Event) -> str:
    """The guards with the e-value that speaks for what is said of them."""
    said = []
    for each in event.payload.get("verdicts", []):
        e = each["e_worse"] if each["verdict"] in ("worse", "undecided") else each["e_no_worse"]
        said.append(f"{each['metric']} {each['verdict']} (e {e:.3g})")
    return ", ".join(said)


def _cell(event: Event) -> str:
    cell = event.payload.get("cell")
    return "" if cell is None else f"{cell['notebook']} [{cell['number']}]".strip()


def _summary(event: Event, route: dict[str, object]) -> str:
    if event.kind == "register":
        return f"version {event.payload['version']} registered"
    if "rollout" in event.payload and not route:
        return _standing(event.payload["rollout"])
    live, previous = route.get("live"), route.get("previous")
    if live is None:
        return "no version is live"
    parts = [f"version {live} live"]
    canary = route.get("canary")
    if isinstance(canary, dict):
        parts.append(f"canary {canary['version']} at {canary['share'] * 100:.4g} % of the traffic")
    if previous is not None:
        parts.append(f"version {previous} kept as previous")
    if event.payload.get("tier"):
        parts.append(f"alert ({event.payload['tier']})")
    shadows = route.get("shadows")
    if isinstance(shadows, list) and shadows:
        parts.append("shadow " + ", ".join(f"{each['version']} at {100 * each['sample']:.0f} %" for each in shadows))
    return ", ".join(parts)


def _standing(state: dict[str, Any]) -> str:
    """Of an entry that changed a rollout but no traffic."""
    where = f"at {state['plan']['steps'][state['step']]:g} %" if state["phase"] in ("running", "paused", "held") else ""
    return f"rollout of version {state['plan']['candidate']} {state['phase']} {where}".rstrip()
