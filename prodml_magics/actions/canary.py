"""``%deploy NAME@V --canary``: begin a rollout that walks its ladder, or returns, by itself."""

from __future__ import annotations

import msgspec

from prodml_magics.actions.baseline import with_baseline
from prodml_magics.actions.changes import changes
from prodml_magics.actions.formats import span
from prodml_magics.actions.labelled import refuse_guards
from prodml_magics.actions.perform import running
from prodml_magics.actions.results import RolloutResult
from prodml_magics.actions.rollout import record_of
from prodml_magics.actions.services import Services
from prodml_magics.actions.serving import refuse_missing_gpu, serving_of
from prodml_magics.actions.switch import switch
from prodml_magics.actions.windows import parse_duration
from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.columns import value_of
from prodml_magics.contract.compare import compare
from prodml_magics.contract.schema import Contract
from prodml_magics.errors import Conflict, GateRefused, InvalidInput, UsageError
from prodml_magics.rollouts.canary import route_of
from prodml_magics.rollouts.guards import read_guards
from prodml_magics.rollouts.plan import read_steps
from prodml_magics.wire.requests import Deploy
from prodml_magics.wire.rollouts import RolloutPlan, RolloutState
from prodml_magics.wire.routes import Route, Segment

__all__ = ["begin_canary", "broken_clients", "refuse_crashed", "refuse_second", "refuse_short_deadline", "state_of"]

_BAKE = "10m"


def begin_canary(workspace: Workspace, request: Deploy, before: Route, version: int) -> RolloutResult:
    """Send the first share of the traffic to `version`; everything after that is the controller's.

    Refused without live traffic, beside another rollout, and for a version that clients of the live one cannot go on with.
    """
    state = _state(workspace, request, before, version)
    refuse_guards(state.plan.guards, workspace.contract(before.model, version), f"{before.model}@{version}")
    refuse_second(workspace, before)
    _refuse_contract(workspace, before, version)
    files = workspace.files(before.model, version)
    files = msgspec.structs.replace(files, isolate=files.isolate or request.isolate)
    after = msgspec.structs.replace(
        route_of(state, before, files), serving=serving_of(request, before.serving, workspace.contract(before.model, version))
    )
    refuse_missing_gpu(request, after.serving, files)
    after = with_baseline(workspace, request, after, version)
    if request.dry_run:
        return RolloutResult(record_of(workspace, state, before, dry_run=True, changes=changes(before, after, state)))
    services = Services(workspace)
    services.up()
    refuse_crashed(services, before.model, version)
    details = {"rollout": msgspec.to_builtins(state)}
    change = switch(workspace, before, after, kind="canary", cause=request.why, details=details)
    return RolloutResult(record_of(workspace, state, after, event=change.event, note=change.note))


def _state(workspace: Workspace, request: Deploy, before: Route, version: int) -> RolloutState:
    if before.live is None:
        raise InvalidInput(
            f"{before.model} is not deployed, so there is no traffic to split; deploy it first with %deploy {before.model}@{version}"
        )
    if before.live == version:
        others = [each for each in workspace.versions(before.model) if each != version]
        advice = f"give {before.model}@{others[-1]}" if others else "register one with %register"
        raise InvalidInput(f"version {version} of {before.model} is live; a canary is another version: {advice}")
    contract = workspace.contract(before.model, before.live)
    plan = RolloutPlan(
        control=before.live,
        candidate=version,
        steps=read_steps(request.canary or ""),
        guards=read_guards(request.guard, request.margin),
        alpha=request.alpha,
        min_rows=request.min_rows,
        bake=parse_duration(request.bake or _BAKE).total_seconds(),
        deadline=parse_duration(request.deadline).total_seconds(),
        key=serving_of(request, before.serving, contract).key or contract.key,
        segment=_segment(request.segment, contract),
    )
    refuse_short_deadline(plan)
    return state_of(workspace, request, before, plan)


def refuse_short_deadline(plan: RolloutPlan) -> None:
    """`UsageError` for a ladder whose steps would each be held for a person before they may be left."""
    if plan.deadline < plan.bake:
        raise UsageError(
            f"each step lasts {span(plan.bake)} at least, and after a deadline of {span(plan.deadline)} it is held for a person; "
            "give a longer --deadline, or a shorter --bake"
        )


def _segment(text: str, contract: Contract) -> Segment | None:
    if not text:
        return None
    column, equals, value = (part.strip() for part in text.partition("="))
    if not (column and equals and value):
        raise UsageError(
            f"--segment {text!r} is no part of the traffic; write a column and its value, such as --segment country=DE"
        )
    value_of(contract, column, value, "--segment")
    return Segment(column, value)


def state_of(workspace: Workspace, request: Deploy, before: Route, plan: RolloutPlan) -> RolloutState:
    """The state in which a rollout begins: on its first step, or baking where all traffic is switched at once."""
    now = workspace.clock.now()
    return RolloutState(
        model=before.model,
        id=before.revision + 1,
        plan=plan,
        phase="baking" if plan.at_once else "running",
        step=0,
        began_at=now,
        step_at=now,
        by=workspace.actor,
        reason=request.why,
    )


def refuse_second(workspace: Workspace, before: Route) -> None:
    """`Conflict` while a rollout of the model runs, naming who began it.

    Who switched all traffic at once may go on to the next version while the first is still watched.
    """
    state = running(workspace, before)
    if state is None or (state.plan.at_once and _person(state.by) == _person(workspace.actor)):
        return
    raise Conflict(
        f"{state.model}@{state.plan.candidate} is being rolled out by {state.by} since {state.began_at:%Y-%m-%d %H:%M} UTC "
        f"({state.phase}); see %rollout {state.model}, end it with %rollout {state.model} --abort"
    )


def _person(actor: str) -> str:
    """Without the door: ``ann@laptop`` of ``ann@laptop (notebook)``."""
    return actor.partition(" (")[0]


def _refuse_contract(workspace: Workspace, before: Route, version: int) -> None:
    broken = broken_clients(workspace, before, version)
    if broken:
        raise GateRefused(f"{broken}; register a version with the same columns, or move the clients first")


def broken_clients(workspace: Workspace, before: Route, version: int) -> str:
    """Why those who ask the live version cannot ask `version`; empty when they can, and when none is live."""
    if before.live is None or before.live == version:
        return ""
    broken = compare(workspace.contract(before.model, before.live), workspace.contract(before.model, version))
    more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
    return f"clients of {before.model}@{before.live} cannot go on with version {version}: {broken[0]}{more}" if broken else ""


def refuse_crashed(services: Services, model: str, version: int) -> None:
    """`GateRefused` for a version at whose door a worker's native crash was laid."""
    report = services.gateway()
    crashed = [each for each in report.models if each.name == model and version in each.crashed] if report else []
    if crashed:
        raise GateRefused(
            f"{model}@{version} crashed the gateway and is left out; register a mended one, or restart with `prodml down` and `prodml up`"
        )
