"""%shadow: mirror live traffic to a version, and compare what it would have answered."""

from __future__ import annotations

from datetime import datetime
from itertools import takewhile
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from prodml_magics.actions.apart import apart
from prodml_magics.actions.deploy import resolve
from prodml_magics.actions.drift_served import last_seen
from prodml_magics.actions.paired import Comparing, labels_of, struct_columns
from prodml_magics.actions.results import ChangeResult, ShadowResult
from prodml_magics.actions.services import Services
from prodml_magics.actions.switch import switch, unchanged
from prodml_magics.actions.windows import parse_duration
from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.schema import Contract
from prodml_magics.errors import NotFound, UsageError
from prodml_magics.monitoring.pairs import logged_answers
from prodml_magics.monitoring.shadow import compare_shadow, shadow_drawing
from prodml_magics.rollouts.paired import Tolerances
from prodml_magics.rollouts.shadow import shadowed, unshadowed
from prodml_magics.wire.admin import GatewayReport
from prodml_magics.wire.events import ROUTE_KINDS
from prodml_magics.wire.names import ModelReference, parse_reference
from prodml_magics.wire.requests import Shadow
from prodml_magics.wire.results import ShadowComparison, ShadowRecord
from prodml_magics.wire.routes import Route, ShadowPlan, ShadowRoute

if TYPE_CHECKING:
    import polars as pl

__all__ = ["compare_one", "shadow"]


def shadow(workspace: Workspace, request: Shadow) -> ChangeResult | ShadowResult:
    """Start a shadow (``NAME@V``), end it (``stop``), or compare all of them with the live version (``NAME``)."""
    reference = parse_reference(request.model)
    before = workspace.route(reference.name)
    if request.stop:
        version = resolve(workspace, reference, default="candidate") if reference.alias else reference.version
        return ChangeResult(switch(workspace, before, unshadowed(before, version), kind="unshadow", cause=request.why))
    if reference.version is None and reference.alias is None:
        _refuse_stray_flags(request)
        return _comparison(workspace, before)
    return _start(workspace, before, reference, request)


def _refuse_stray_flags(request: Shadow) -> None:
    """`UsageError` for a flag of a shadow that begins, where only a comparison is asked for."""
    default = Shadow(model=request.model)
    for name in request.__struct_fields__:
        if name != "model" and getattr(request, name) != getattr(default, name):
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag} is for a shadow that begins; give its version as well, such as {request.model}@2")


def _start(workspace: Workspace, before: Route, reference: ModelReference, request: Shadow) -> ChangeResult:
    version = resolve(workspace, reference, default="candidate")
    files = workspace.files(reference.name, version)
    files = msgspec.structs.replace(files, isolate=files.isolate or request.isolate)
    plan = ShadowPlan(
        began_at=workspace.clock.now(),
        rows=request.rows,
        seconds=parse_duration(request.time).total_seconds() if request.time else None,
        promote=request.promote_if == "no-worse",
        tolerance=request.tolerance,
        margin=request.margin,
        alpha=request.alpha,
    )
    after = shadowed(before, files, request.sample, plan)
    services = Services(workspace)
    services.up()
    if any(_alike(each, after.shadows[-1]) for each in before.shadows):
        return ChangeResult(unchanged(workspace, before, "shadow", f"version {version} is already a shadow"))
    after, note = apart(services, after, version)
    change = switch(workspace, before, after, kind="shadow", cause=request.why)
    return ChangeResult(replace(change, note="; ".join(filter(None, (note, change.note)))))


def _alike(one: ShadowRoute, other: ShadowRoute) -> bool:
    """Whether both mean the same, whenever they began."""
    if one.plan is None or other.plan is None:
        return False
    return replace(one, plan=replace(one.plan, began_at=other.plan.began_at)) == other


def _comparison(workspace: Workspace, route: Route) -> ShadowResult:
    since, shadows, live = _latest(workspace, route)
    services = Services(workspace)
    drained = services.drain()
    report = services.gateway()
    began = min((each.plan.began_at for each in shadows if each.plan), default=since)
    frame = workspace.lake.rows(route.model, since=min(since, began), statuses=None)
    comparisons = tuple(compare_one(workspace, frame, route.model, live, each, report, since) for each in shadows)
    seen = last_seen(frame) if drained is None and not frame.is_empty() else None
    drawing = shadow_drawing(frame, comparisons[0], workspace.contract(route.model, live)) if comparisons else None
    return ShadowResult(ShadowRecord(model=route.model, comparisons=comparisons, seen_until=seen), drawing)


def compare_one(
    workspace: Workspace,
    frame: pl.DataFrame,
    model: str,
    live: int,
    shadow: ShadowRoute,
    report: GatewayReport | None,
    since: datetime,
) -> ShadowComparison:
    """One shadow beside the live version, on rows of the lake of every arm and status from its beginning on (else `since`)."""
    served = next((each for each in report.models if each.name == model), None) if report else None
    began = shadow.plan.began_at if shadow.plan else since
    mine = frame.filter(frame["received_at"] >= began) if frame.height else frame
    contract = workspace.contract(model, live)
    dropped = served.traffic.shadow_dropped if served else 0
    found = compare_shadow(mine, model=model, live=live, shadow=shadow.version, contract=contract, dropped=dropped)
    plan = shadow.plan or ShadowPlan(began_at=began)
    comparing = Comparing(contract, Tolerances(plan.tolerance, plan.margin, alpha=plan.alpha))
    _count(workspace, comparing, mine, model, live, shadow.version, contract)
    return replace(found, verdict=comparing.verdict())


def _count(
    workspace: Workspace, comparing: Comparing, frame: pl.DataFrame, model: str, live: int, shadow: int, contract: Contract
) -> None:
    """Every live row that was mirrored, also where the shadow failed on it."""
    import polars as pl

    if frame.is_empty():
        return
    answered = frame.filter(pl.col("arm") == "live", pl.col("version") == live, pl.col("status") == 200)
    mirrored = frame.filter(pl.col("arm") == "shadow", pl.col("version") == shadow)
    other = mirrored.select("writer", pl.col("mirrors").alias("sequence"), "status", "outputs")
    pairs = answered.join(other, on=["writer", "sequence"], how="inner", suffix="_of_shadow")
    if pairs.is_empty():
        return
    labels = labels_of(workspace, model, answered.lazy())
    said = None
    if labels is not None:
        pairs = pairs.join(labels, on=["writer", "sequence"], how="left", maintain_order="left")
        said = pairs["label"]
    comparing.take(
        struct_columns(pairs, "inputs"),
        logged_answers(contract, pairs["outputs"]),
        logged_answers(contract, pairs["outputs_of_shadow"]),
        (pairs["status_of_shadow"] != 200).to_numpy(),
        pairs["key"],
        said,
    )


def _latest(workspace: Workspace, route: Route) -> tuple[datetime, tuple[ShadowRoute, ...], int]:
    """When the latest shadows began, which they are, and who is live beside them, or was when they ended."""
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
