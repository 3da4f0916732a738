"""What the guards say of a version that answers everything, held against what was answered before it went live."""

from __future__ import annotations

import math

from prodml_magics.rollouts.baking import log_as_before, log_unwell, seen_of, tolerated
from prodml_magics.rollouts.evidence import Evidence
from prodml_magics.rollouts.guards import is_latency, level_of, margin_text, needs_control
from prodml_magics.rollouts.harm import culprits
from prodml_magics.wire.rollouts import Guard, GuardVerdict, RolloutPlan

__all__ = ["unwell", "watched_guards", "watched_verdicts"]

_MOST = 700.0


def watched_guards(plan: RolloutPlan) -> tuple[Guard, ...]:
    """Guards that need no control beside them: those on failures and on quantiles of latency."""
    return tuple(guard for guard in plan.guards if not needs_control(guard.metric))


def unwell(plan: RolloutPlan, evidence: Evidence) -> tuple[str, ...]:
    """Guards that are worse than before, the worst first; wrongly so in a share `alpha` of all switches at most.

    Half of it goes into what is known of the time before, half into the test.
    """
    found = log_unwell(watched_guards(plan), evidence.before, evidence.baked, plan.alpha)
    return culprits(found, plan.alpha / 2)


def watched_verdicts(plan: RolloutPlan, evidence: Evidence) -> tuple[GuardVerdict, ...]:
    """Every guard with its evidence, for people."""
    guards = watched_guards(plan)
    worse = log_unwell(guards, evidence.before, evidence.baked, plan.alpha)
    as_before = log_as_before(guards, evidence.before, evidence.baked, plan.alpha)
    named = unwell(plan, evidence)
    return tuple(_verdict(guard, plan, evidence, worse[guard.metric], as_before[guard.metric], named) for guard in guards)


def _verdict(
    guard: Guard, plan: RolloutPlan, evidence: Evidence, worse: float, as_before: float, named: tuple[str, ...]
) -> GuardVerdict:
    events, of = seen_of(guard, evidence.baked)
    most = tolerated(guard, evidence.before, len(watched_guards(plan)), plan.alpha)
    shown = as_before >= math.log(2 / plan.alpha)
    return GuardVerdict(
        metric=guard.metric,
        margin=margin_text(guard),
        verdict="worse" if guard.metric in named else "no worse" if shown else "undecided",
        e_worse=math.exp(min(worse, _MOST)),
        e_no_worse=math.exp(min(as_before, _MOST)),
        canary_events=events,
        control_events=_before(guard, evidence),
        low=None,
        high=None,
        canary_rows=of,
        control_rows=evidence.before.runs if is_latency(guard.metric) else evidence.before.units,
        note=_note(most),
    )


def _before(guard: Guard, evidence: Evidence) -> int:
    """Events before the switch; of latencies as many as lie beyond their own quantile."""
    if is_latency(guard.metric):
        return round(evidence.before.runs * (1 - level_of(guard.metric)))
    return evidence.before.failed.get(guard.metric, 0)


def _note(most: float | None) -> str:
    if most is None:
        return "too little traffic before to hold it against"
    return f"against the traffic before, not beside it: worse is more than {100 * most:.2f} %"
