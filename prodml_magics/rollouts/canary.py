"""A canary rollout as a state machine: ``(state, judgement, now) -> (state, effects)``. Pure; something else performs the effects.

    running ── gate passed ──> running (next step) … ──> baking ── bake over ──> done
       │  │                                                │
       │  ├─ split unsound, or asked ──> paused            │
       │  └─ deadline ──> held                             │
       └── harm, or a crash ──> rolled back <── a crash, ──┘        asked, at any time ──> aborted
                                              or worse than before

A switch of all traffic at once (blue-green) is a rollout that begins baking.
The route is a function of the state (`route_of`), so that the two can never disagree.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from msgspec.structs import replace

from prodml_magics.errors import InvalidInput
from prodml_magics.rollouts.blue_green import promoted, without_canary
from prodml_magics.wire.rollouts import RolloutState
from prodml_magics.wire.routes import CanaryRoute, Route, Segment, VersionFiles

__all__ = ["ASKS_NO_WORSE", "Decision", "Judgement", "advance", "command", "in_force", "route_of", "segment_text"]

ASKS_NO_WORSE = 0.25
"""From this share on a step is left only when every guard is no worse."""

Kind = Literal["step", "promote", "rollback", "abort", "pause", "resume", "hold", "finish"]


class Judgement(NamedTuple):
    """What the evidence says at this moment."""

    requests: int
    """Requests that the canary has answered in this step."""
    harm: tuple[str, ...] = ()
    """Guards that are worse, the worst first."""
    no_worse: bool = False
    """Whether every guard is no worse within its margin."""
    mismatch: bool = False
    """Whether the arms do not get the shares that they were given: no verdict counts then."""
    crashed: bool = False
    """Whether a gateway worker died natively while it ran the candidate."""
    gone: str = ""
    """Why the candidate cannot become live any more; empty when it can."""
    blind: bool = False
    """Whether a guard cannot show harm yet, so that none shown says nothing."""
    unwell: tuple[str, ...] = ()
    """Guards that are worse, since it is live, than they were before; the worst first."""


class Decision(NamedTuple):
    """The state after, and what has to be done: the kind of the ledger's entry, why, and the tier of the alert if there is one."""

    state: RolloutState
    kind: Kind
    reason: str
    tier: Literal["immediate", "daily"] | None = None


def advance(state: RolloutState, judged: Judgement, now: datetime) -> Decision | None:
    """The next decision, none when nothing is to be done."""
    if state.over:
        return None
    if judged.crashed:
        return _rolled_back(state, now, f"the gateway crashed while version {state.plan.candidate} ran")
    if state.phase == "baking":
        return _baked(state, judged, now)
    if judged.mismatch:
        return _mismatch(state, now)
    if judged.harm:
        return _rolled_back(state, now, f"{' and '.join(judged.harm)} worse at {state.share:.4g} of the traffic")
    if state.phase != "running":
        return None
    if _may_leave(state, judged, now):
        return _onward(state, judged, now)
    if _elapsed(state, now) >= state.plan.deadline:
        reason = f"undecided after {_elapsed(state, now):.0f} s in the step; resume, promote or abort it"
        return Decision(_entered(state, "held", now, reason), "hold", reason, "daily")
    return None


def command(state: RolloutState, word: str, now: datetime, mismatch: bool = False) -> Decision:
    """What a person asked for: ``pause``, ``resume``, ``step``, ``promote`` or ``abort``."""
    if state.over:
        raise InvalidInput(
            f"the rollout of {state.model}@{state.plan.candidate} is {state.phase}; "
            f"begin another with %deploy {state.model}@VERSION --canary 1,5,25,50,100"
        )
    if word == "abort":
        return Decision(_entered(state, "aborted", now, "asked for"), "abort", "asked for")
    if state.phase == "baking":
        raise InvalidInput(f"{state.model}@{state.plan.candidate} is live already and bakes; only --abort is possible")
    if word == "pause":
        if state.phase == "paused":
            raise InvalidInput(f"the rollout of {state.model} is paused already; --resume, --promote or --abort it")
        return Decision(_entered(state, "paused", now, "asked for"), "pause", "asked for")
    if word == "resume":
        return _resumed(state, now, mismatch)
    if word == "step":
        return _stepped(state, now, "asked for")
    return _promoted(state, now, "asked for")


def _resumed(state: RolloutState, now: datetime, mismatch: bool) -> Decision:
    if state.phase == "running":
        raise InvalidInput(f"the rollout of {state.model} is running; see %rollout {state.model}")
    if mismatch:
        raise InvalidInput(
            f"the arms of {state.model} do not get their shares, so no verdict can count; %rollout {state.model} --abort"
        )
    return Decision(_entered(state, "running", now, "asked for"), "resume", "asked for")


def _may_leave(state: RolloutState, judged: Judgement, now: datetime) -> bool:
    seen = judged.requests >= state.plan.min_rows and _elapsed(state, now) >= state.plan.bake
    return seen and not judged.blind and (state.share < ASKS_NO_WORSE or judged.no_worse)


def _onward(state: RolloutState, judged: Judgement, now: datetime) -> Decision:
    last = state.step == len(state.plan.steps) - 1
    if last:
        reason = f"the ladder ends at {state.plan.steps[-1]:g} %; promote or abort it"
        return Decision(_entered(state, "held", now, reason), "hold", reason, "daily")
    if state.plan.steps[state.step + 1] >= 100 and state.plan.segment is not None:
        reason = f"only {segment_text(state.plan.segment)} was compared; promote it for all traffic, or abort it"
        return Decision(_entered(state, "held", now, reason), "hold", reason, "daily")
    if state.plan.steps[state.step + 1] >= 100 and judged.gone:
        reason = f"{judged.gone}; abort it, or resume once that is mended"
        return Decision(_entered(state, "held", now, reason), "hold", reason, "daily")
    said = "no worse on every guard" if state.share >= ASKS_NO_WORSE else "no harm shown"
    return _stepped(state, now, f"{said} after {judged.requests} canary requests")


def _stepped(state: RolloutState, now: datetime, reason: str) -> Decision:
    following = state.step + 1
    if following == len(state.plan.steps):
        raise InvalidInput(f"the ladder of {state.model} ends here; use --promote or --abort")
    if state.plan.steps[following] >= 100:
        return _promoted(state, now, reason)
    return Decision(replace(_entered(state, "running", now, reason), step=following), "step", reason)


def _promoted(state: RolloutState, now: datetime, reason: str) -> Decision:
    return Decision(_entered(state, "baking", now, reason), "promote", reason)


def _baked(state: RolloutState, judged: Judgement, now: datetime) -> Decision | None:
    if judged.unwell:
        return _rolled_back(state, now, f"{' and '.join(judged.unwell)} worse than before it went live")
    if judged.harm and not judged.mismatch:  # shown by what came in before it was live and was counted since
        return _rolled_back(state, now, f"{' and '.join(judged.harm)} worse as the canary")
    if _elapsed(state, now) < state.plan.bake:
        return None
    return Decision(_entered(state, "done", now, "baked"), "finish", "baked")


def _mismatch(state: RolloutState, now: datetime) -> Decision | None:
    if state.phase == "paused":
        return None
    reason = (
        "the arms do not get the shares that they were given, so no verdict counts; abort it and look for what loses requests"
    )
    return Decision(_entered(state, "paused", now, reason), "pause", reason, "immediate")


def _rolled_back(state: RolloutState, now: datetime, reason: str) -> Decision:
    return Decision(_entered(state, "rolled back", now, reason), "rollback", reason, "immediate")


def _entered(state: RolloutState, phase: str, now: datetime, reason: str) -> RolloutState:
    return replace(state, phase=phase, step_at=now, reason=reason)


def segment_text(segment: Segment) -> str:
    """As people write it.

    >>> segment_text(Segment("country", "DE"))
    'country=DE'
    """
    return f"{segment.column}={segment.value}"


def _elapsed(state: RolloutState, now: datetime) -> float:
    """Seconds in the step; a clock that was set back only makes it wait longer."""
    return max(0.0, (now - state.step_at).total_seconds())


def route_of(state: RolloutState, route: Route, files: VersionFiles | None = None) -> Route:
    """`route` as `state` wants it; `files` are the candidate's, needed when the route does not hold them yet."""
    if state.splits:
        return _split(state, route, files)
    if state.phase in ("baking", "done"):
        bare = replace(route, canary=None)
        return bare if bare.live == state.plan.candidate else promoted(bare, files or route.file(state.plan.candidate))
    if route.live == state.plan.candidate and route.previous == state.plan.control:
        shadows = tuple(shadow for shadow in route.shadows if shadow.version != state.plan.control)
        return replace(route, live=state.plan.control, previous=state.plan.candidate, shadows=shadows, canary=None)
    return without_canary(route)


def _split(state: RolloutState, route: Route, files: VersionFiles | None) -> Route:
    candidate = state.plan.candidate
    salt = f"{state.model}/{state.id}"
    shadows = tuple(shadow for shadow in route.shadows if shadow.version != candidate)
    canary = CanaryRoute(candidate, state.share, salt, state.id, state.plan.key, state.plan.segment)
    after = replace(route, canary=canary, shadows=shadows)
    known = {entry.version: entry for entry in (*route.files, *((files,) if files else ()))}
    return replace(after, files=tuple(known[version] for version in after.loaded() if version in known))


def in_force(state: RolloutState | None, route: Route) -> bool:
    """Whether `state` is what `route` follows: false once it is over, or when somebody changed the route behind it."""
    if state is None or state.over:
        return False
    if state.splits:
        return route.canary is not None and route.canary.rollout == state.id and route.live == state.plan.control
    return route.live == state.plan.candidate and route.canary is None
