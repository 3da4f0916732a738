"""%shadow: mirror live traffic to a version, and compare what it would have answered."""

from __future__ import annotations

from datetime import datetime
from itertools import takewhile
from typing import TYPE_CHECKING

import msgspec

from prodml_magics.actions.deploy import resolve
from prodml_magics.actions.drift import last_seen
from prodml_magics.actions.results import ChangeResult, ShadowResult
from prodml_magics.actions.services import Services
from prodml_magics.actions.switch import switch, unchanged
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import NotFound
from prodml_magics.monitoring.shadow import compare_shadow, shadow_drawing
from prodml_magics.rollouts.shadow import shadowed, unshadowed
from prodml_magics.wire.admin import GatewayReport
from prodml_magics.wire.events import ROUTE_KINDS
from prodml_magics.wire.names import ModelReference, parse_reference
from prodml_magics.wire.requests import Shadow
from prodml_magics.wire.results import ShadowComparison, ShadowRecord
from prodml_magics.wire.routes import Route, ShadowRoute

if TYPE_CHECKING:
    import polars as pl

__all__ = ["shadow"]


def shadow(workspace: Workspace, request: Shadow) -> ChangeResult | ShadowResult:
    """Start a shadow (``NAME@V``), end it (``stop``), or compare it with the live version (``NAME``)."""
    reference = parse_reference(request.model)
    before = workspace.route(reference.name)
    if request.stop:
        version = resolve(workspace, reference, default="candidate") if reference.alias else reference.version
        return ChangeResult(switch(workspace, before, unshadowed(before, version), kind="unshadow", cause=request.why))
    if reference.version is None and reference.alias is None:
        return _comparison(workspace, before)
    return _start(workspace, before, reference, request)


def _start(workspace: Workspace, before: Route, reference: ModelReference, request: Shadow) -> ChangeResult:
    version = resolve(workspace, reference, default="candidate")
    files = workspace.files(reference.name, version)
    files = msgspec.structs.replace(files, isolate=files.isolate or request.isolate)
    after = shadowed(before, files, request.sample)
    Services(workspace).up()
    if after.shadows == before.shadows:
        return ChangeResult(unchanged(workspace, before, "shadow", f"version {version} is already the shadow"))
    return ChangeResult(switch(workspace, before, after, kind="shadow", cause=request.why))


def _comparison(workspace: Workspace, route: Route) -> ShadowResult:
    since, shadows, live = _latest(workspace, route)
    services = Services(workspace)
    drained = services.drain()
    frame = workspace.lake.rows(route.model, since=since, statuses=None)
    report = services.gateway()
    comparisons = tuple(_compare(workspace, frame, route.model, live, each.version, report) for each in shadows)
    seen = last_seen(frame) if drained is None and not frame.is_empty() else None
    drawing = shadow_drawing(frame, comparisons[0], workspace.contract(route.model, live)) if comparisons else None
    return ShadowResult(ShadowRecord(model=route.model, comparisons=comparisons, seen_until=seen), drawing)


def _compare(
    workspace: Workspace, frame: pl.DataFrame, model: str, live: int, version: int, report: GatewayReport | None
) -> ShadowComparison:
    served = next((each for each in report.models if each.name == model), None) if report else None
    dropped = served.traffic.shadow_dropped if served else 0
    return compare_shadow(
        frame, model=model, live=live, shadow=version, contract=workspace.contract(model, live), dropped=dropped
    )


def _latest(workspace: Workspace, route: Route) -> tuple[datetime, tuple[ShadowRoute, ...], int]:
    """When the latest shadow began, which it is, and who is live beside it, or was when it ended."""
    events = workspace.ledger.events(route.model) if workspace.has_ledger() else []
    taken = [(event.at, msgspec.convert(event.payload["route"], type=Route)) for event in events if event.kind in ROUTE_KINDS]
    while taken and not taken[-1][1].shadows:
        taken.pop()
    if not taken:
        raise NotFound(f"{route.model} never had a shadow; start one with %shadow {route.model}@VERSION")
    last = taken[-1][1]
    since = [at for at, _ in takewhile(lambda each: each[1].shadows == last.shadows, reversed(taken))][-1]
    assert last.live is not None
    return since, last.shadows, last.live
