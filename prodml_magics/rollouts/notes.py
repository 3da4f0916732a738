"""What a verdict rests on or waits for, in a sentence."""

from __future__ import annotations

import math

from prodml_magics.rollouts.buckets import BURN_IN as BUCKETS_BEFORE
from prodml_magics.rollouts.buckets import dispersed, dispersion
from prodml_magics.rollouts.evidence import Evidence
from prodml_magics.rollouts.fold import series_of
from prodml_magics.rollouts.guards import (
    is_class,
    is_duration,
    is_latency,
    is_mean,
    is_metric,
    is_score,
    level_of,
    lower_is_better,
    range_of,
)
from prodml_magics.rollouts.means import MeanTally
from prodml_magics.rollouts.metrics import metric_of
from prodml_magics.rollouts.money import LEAST, Clip
from prodml_magics.stats.sequential.clipped_mean import BURN_IN
from prodml_magics.stats.sequential.exceedances import LEVELS
from prodml_magics.stats.sequential.quantiles import Band, band
from prodml_magics.wire.rollouts import Guard, RolloutPlan

__all__ = ["note_on"]


def note_on(guard: Guard, plan: RolloutPlan, evidence: Evidence, *, events: int) -> str:
    """Empty where there is nothing to say; `events` are those of both arms."""
    if evidence.mismatch:
        return "the split is unsound: no verdict counts"
    if is_mean(guard.metric):
        return _label_note(guard, evidence)
    if is_score(guard.metric):
        return "it may move to neither side by more than its margin"
    if (is_latency(guard.metric) or is_duration(guard.metric)) and not evidence.thresholds:
        return f"learning what is slow from the first live runs ({len(evidence.learning)} so far)"
    if (is_latency(guard.metric) or is_duration(guard.metric)) and (spells := _spells(guard, plan, evidence)):
        return spells
    if is_latency(guard.metric):
        return _bands(guard, plan, evidence)
    if is_duration(guard.metric):
        return f"asymptotic, of times clipped at {evidence.thresholds[-1]:.3g} ms, after {BURN_IN} runs of the canary"
    if is_class(guard.metric):
        return "no answer of either version says it" if not events else "neither more nor less often by its margin"
    if guard.relative and not events:
        return "no event on either arm: a relative margin cannot decide; an absolute one can"
    return ""


def _spells(guard: Guard, plan: RolloutPlan, evidence: Evidence) -> str:
    """Where slow runs come in spells, whose they are; empty where they do not, or where both arms share them."""
    buckets = evidence.buckets
    if buckets is None:
        return ""
    if buckets.count < BUCKETS_BEFORE:
        return (
            f"slow runs come in spells: {buckets.count} of {BUCKETS_BEFORE} buckets of {buckets.length} runs, which tell whether each "
            "version has its own"
        )
    names = ("mean", "mean within its margin") if is_duration(guard.metric) else (guard.metric, *(f"slow {x:g}" for x in LEVELS))
    places, decided = [series_of(plan).index(name) for name in names], dispersed(buckets)
    if not decided[places].any():
        return ""
    most = float(dispersion(buckets)[places].max())
    return (
        f"each version has slow spells of its own (dispersion {most:.2g}): {buckets.count} buckets of {buckets.length} runs decide, "
        "asymptotically"
    )


def _bands(guard: Guard, plan: RolloutPlan, evidence: Evidence) -> str:
    """The quantile of both arms, for people; the verdict does not rest on it."""
    control, canary = (band(dict(counts), level_of(guard.metric), plan.alpha) for counts in evidence.times)
    if control is None or canary is None:
        return ""
    return f"runs of the canary {_band_text(canary)}, of the live version {_band_text(control)}"


def _band_text(found: Band) -> str:
    high = f"{found.high:.3g}" if math.isfinite(found.high) else "∞"
    return f"{found.value:.3g} ms ({found.low:.3g} to {high})"


def _label_note(guard: Guard, evidence: Evidence) -> str:
    tally = evidence.means.get(guard.metric)
    column = metric_of(guard.metric).column if is_metric(guard.metric) else "label"
    if tally is None:
        return f"no {column} has come yet; give them with %labels" if range_of(guard.metric) else _learning_note(column)
    if tally.mismatch:
        return f"{column}s do not come for the arms in their shares: it cannot count"
    clip = evidence.clips.get(guard.metric)
    if clip is not None:
        return _money_note(guard, tally, clip)
    if is_metric(guard.metric):
        return "cut to its range"
    return "clipped at 3 nats" if guard.metric == "log_loss" else ""


def _learning_note(column: str) -> str:
    return f"too little of {column} has come to know its size (it takes {LEAST} of the live version); give it with %labels"


def _money_note(guard: Guard, tally: MeanTally, clip: Clip) -> str:
    if tally.units[0] and (-1 if lower_is_better(guard.metric) else 1) * tally.sums[0] <= 0:
        return "the live version's mean is not above 0, so that no share of it is a margin; give the metric a range"
    return f"asymptotic, of values clipped to {clip.low:.3g}..{clip.high:.3g}, after {BURN_IN} of the canary"
