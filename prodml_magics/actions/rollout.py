"""%rollout: how a canary fares, and the hand on its wheel."""

from __future__ import annotations

from datetime import datetime

import msgspec

from prodml_magics.actions.formats import span
from prodml_magics.actions.perform import perform, running
from prodml_magics.actions.results import RolloutResult
from prodml_magics.actions.services import Services
from prodml_magics.actions.switch import mirror_aliases
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import InvalidInput, NotFound, UsageError
from prodml_magics.rollouts.buckets import BURN_IN
from prodml_magics.rollouts.canary import command, segment_text
from prodml_magics.rollouts.evidence import Evidence
from prodml_magics.rollouts.judge import blind
from prodml_magics.rollouts.verdicts import verdicts
from prodml_magics.wire.names import check_name
from prodml_magics.wire.requests import Rollout
from prodml_magics.wire.results import RolloutRecord
from prodml_magics.wire.rollouts import GuardVerdict, RolloutState
from prodml_magics.wire.routes import Route

__all__ = ["evidence_of", "record_of", "rollout"]

_WORDS = ("pause", "resume", "step", "promote", "abort")


def rollout(workspace: Workspace, request: Rollout) -> RolloutResult:
    """Show the latest rollout of a model, or carry out one of ``pause``, ``resume``, ``step``, ``promote``, ``abort``."""
    name = check_name(request.model)
    words = [word for word in _WORDS if getattr(request, word)]
    if len(words) > 1:
        raise UsageError(f"give one of {', '.join('--' + word for word in words)}, not {len(words)}")
    state = workspace.rollout(name)
    if state is None:
        raise NotFound(f"{name} never had a canary; begin one with %deploy {name}@VERSION --canary 1,5,25,50,100")
    return _steer(workspace, state, words[0], request.why) if words else RolloutResult(_shown(workspace, state))


def _shown(workspace: Workspace, state: RolloutState) -> RolloutRecord:
    route = workspace.route(state.model)
    if not state.over and running(workspace, route) is None:
        state = msgspec.structs.replace(state, phase="aborted", reason="the route was changed by hand; see %timeline")
    return record_of(workspace, state, route)


def _steer(workspace: Workspace, state: RolloutState, word: str, why: str) -> RolloutResult:
    before = workspace.route(state.model)
    if not state.over and running(workspace, before) is None:
        raise InvalidInput(f"the route of {state.model} was changed by hand and the rollout ended; see %timeline {state.model}")
    evidence = evidence_of(workspace, state)
    decision = command(state, word, workspace.clock.now(), mismatch=evidence is not None and evidence.mismatch)
    event = perform(workspace, before, decision, _verdicts(state, evidence), why)
    problem = mirror_aliases(workspace, state.model) if word in ("promote", "abort", "step") else ""
    note = f"aliases follow later ({problem})" if problem else ""
    return RolloutResult(record_of(workspace, decision.state, workspace.route(state.model), event=event, note=note))


def evidence_of(workspace: Workspace, state: RolloutState) -> Evidence | None:
    """What the controller kept last of this rollout's evidence."""
    kept = workspace.ledger.evidence(state.model, state.id)
    return None if kept is None else msgspec.json.decode(kept, type=Evidence)


def _verdicts(state: RolloutState, evidence: Evidence | None) -> tuple[GuardVerdict, ...]:
    return verdicts(state, evidence) if evidence is not None else ()


def record_of(
    workspace: Workspace,
    state: RolloutState,
    route: Route,
    *,
    event: int | None = None,
    note: str = "",
    dry_run: bool = False,
    changes: tuple[str, ...] = (),
) -> RolloutRecord:
    """A rollout as people see it."""
    evidence = None if dry_run else evidence_of(workspace, state)
    services = Services(workspace)
    url = services.url()
    idle = not dry_run and not state.over and services.controller() is None
    down = "the controller is down, so nothing is decided; start it with %up" if idle else ""
    return RolloutRecord(
        model=state.model,
        version=route.live,
        previous=route.previous,
        url=f"{url}/v2/models/{state.model}" if url and route.live else None,
        candidate=state.plan.candidate,
        control=state.plan.control,
        phase="planned" if dry_run else state.phase,
        step=state.step,
        steps=state.plan.steps,
        alpha=state.plan.alpha,
        began_at=state.began_at,
        step_at=state.step_at,
        by=state.by,
        reason=state.reason,
        waits_for=_waits_for(state, evidence, workspace.clock.now()),
        canary_requests=_exposed(state, evidence) if evidence else 0,
        control_requests=sum(evidence.requests[0]) if evidence else 0,
        step_requests=_in_step(state, evidence) if evidence else 0,
        key=state.plan.key,
        segment=segment_text(state.plan.segment) if state.plan.segment else "",
        guards=_verdicts(state, evidence),
        event=event,
        note="; ".join(text for text in (note, down) if text),
        changes=changes,
    )


def _exposed(state: RolloutState, evidence: Evidence) -> int:
    """Requests that the candidate has answered while it was on trial: a canary's, or all since it is live where it was none."""
    return evidence.baked.requests if state.plan.at_once else evidence.canary_requests


def _in_step(state: RolloutState, evidence: Evidence) -> int:
    return evidence.baked.requests if state.phase == "baking" or state.plan.at_once else evidence.requests[1][state.step]


def _waits_for(state: RolloutState, evidence: Evidence | None, now: datetime) -> str:
    """What has still to happen, as one phrase."""
    plan = state.plan
    if state.over:
        return ""
    if state.phase in ("paused", "held"):
        return "a person: --resume, --step, --promote or --abort"
    if state.phase == "baking":
        return f"{span(plan.bake)} of watching since it became live"
    few = evidence is None or _in_step(state, evidence) < plan.min_rows
    early = (now - state.step_at).total_seconds() < plan.bake
    step = " and ".join([f"{plan.min_rows:,} canary requests"] * few + [span(plan.bake)] * early)
    asked = [f"{step} in this step"] if step else []
    if evidence is not None and evidence.buckets is not None and blind(plan, evidence):
        asked.append(
            f"{BURN_IN} buckets of {evidence.buckets.length} runs, since slow runs come in spells ({evidence.buckets.count} so far)"
        )
    missing = [guard.metric for guard in plan.guards if evidence is None or guard.metric not in evidence.passed]
    if state.share >= 0.25 and missing:
        asked.append(f"no worse on {', '.join(missing)}")
    return " and ".join(asked) or "the next look of the controller"
