"""What the machine decides by: harm on any guard, "no worse" on every one, and whether the split itself is sound."""

from __future__ import annotations

import math

import numpy as np
from msgspec.structs import replace

from prodml_magics.rollouts.buckets import BURN_IN as BUCKETS_BEFORE
from prodml_magics.rollouts.canary import Judgement
from prodml_magics.rollouts.e_values import log_harm, log_no_worse
from prodml_magics.rollouts.evidence import Evidence, durations_of, latencies_of
from prodml_magics.rollouts.harm import culprits
from prodml_magics.rollouts.watched import unwell
from prodml_magics.stats.sequential.sample_ratio import ALPHA, log_mismatch
from prodml_magics.wire.rollouts import Guard, RolloutPlan, RolloutState

__all__ = ["blind", "judge", "latched", "void"]


def latched(plan: RolloutPlan, evidence: Evidence) -> Evidence:
    """`evidence` that remembers what was shown at this look: evidence may shrink again, a verdict that was reached stands."""
    open_yet = [guard for guard in plan.guards if guard.metric not in evidence.passed]
    shown = [guard.metric for guard in open_yet if log_no_worse(guard, plan, evidence) >= math.log(1 / plan.alpha)]
    counted = np.array(evidence.requests)
    mismatch = float(log_mismatch(counted[1].sum(), counted.sum(axis=0), evidence.shares)) >= math.log(1 / ALPHA)
    passed = tuple(sorted({*evidence.passed, *shown}))
    return replace(evidence, passed=passed, mismatch=evidence.mismatch or mismatch)


def judge(state: RolloutState, evidence: Evidence) -> Judgement:
    """What the machine decides by."""
    plan = state.plan
    return Judgement(
        requests=evidence.requests[1][state.step],
        harm=culprits(log_harm(plan, evidence), plan.alpha),
        no_worse=all(guard.metric in evidence.passed and not void(guard, evidence) for guard in plan.guards),
        mismatch=evidence.mismatch,
        blind=blind(plan, evidence),
        unwell=unwell(plan, evidence) if state.phase == "baking" else (),
    )


def blind(plan: RolloutPlan, evidence: Evidence) -> bool:
    """Whether a guard on latency cannot show harm yet, since each version may have slow spells of its own."""
    return (
        bool(durations_of(plan) or latencies_of(plan))
        and evidence.buckets is not None
        and evidence.buckets.count < BUCKETS_BEFORE
    )


def void(guard: Guard, evidence: Evidence) -> bool:
    """Whether labels come for one arm rather than the other, so that what they say does not count."""
    return guard.metric in evidence.means and evidence.means[guard.metric].mismatch
