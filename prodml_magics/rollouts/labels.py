"""What labelled units say of one guard, put into the evidence of a rollout: made anew as a whole whenever labels have come."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from prodml_magics.rollouts.evidence import Evidence
from prodml_magics.rollouts.guards import bound_of, lower_is_better, range_of
from prodml_magics.rollouts.means import Units, tally_of, with_beginnings
from prodml_magics.rollouts.money import LEAST, Clip, clip_of, clipped_tally_of
from prodml_magics.wire.rollouts import Guard, RolloutPlan

__all__ = ["control_clip", "with_units"]


def with_units(
    plan: RolloutPlan,
    guard: Guard,
    evidence: Evidence,
    units: Units,
    clip: Callable[[], Clip | None],
    *,
    interval: bool = True,
) -> Evidence:
    """`evidence` with what `units` say of `guard`; as it was where a metric without bounds has no limits yet.

    `clip` is asked for these limits once, until there are some. Without `interval` the difference of the means is left unbounded,
    which takes most of the time and decides nothing.
    """
    known, shares = evidence.means.get(guard.metric), tuple(step / 100 for step in plan.steps)
    if range_of(guard.metric) is not None:
        bound = bound_of(guard.metric)
        tally = with_beginnings(tally_of(units, shares, guard.margin, bound, plan.alpha, interval=interval), known)
    else:
        limits = evidence.clips.get(guard.metric) or clip()
        if limits is None:
            return evidence
        evidence = replace(evidence, clips={**evidence.clips, guard.metric: limits})
        tally = clipped_tally_of(units, shares, guard.margin, limits, plan.alpha, lower=lower_is_better(guard.metric))
    if known is not None and known.mismatch:
        tally = replace(tally, mismatch=True)
    return replace(evidence, means={**evidence.means, guard.metric: tally})


def control_clip(guard: Guard, units: Units) -> Clip | None:
    """Limits from the first units of the live version in the rollout; none while they are too few."""
    sign = -1.0 if lower_is_better(guard.metric) else 1.0
    control = sign * units.value[~units.canary]
    return clip_of(control[:LEAST], LEAST) if len(control) >= LEAST else None
