"""A past rollout decided anew under another plan, from what was recorded of it.

Every request keeps its moment and its key. Whom it would have gone to is drawn so that it agrees with whom it went to: under a smaller
share the canary's requests are a part of those that it had, under a larger one they are all of those and more. Where a request would
have gone to the other version, one of that version's answers from about that time stands in for the answer that nobody saw. How many of
the candidate's answers were lent so is told with the result: what was recorded at 1 % knows little of 50 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.rollouts.canary import advance
from prodml_magics.rollouts.evidence import Evidence, Requests, Seen, fold, fold_live
from prodml_magics.rollouts.judge import judge, latched
from prodml_magics.wire.rollouts import RolloutState

__all__ = ["Recorded", "Redecided", "positions", "redecide"]

_LOOKS = 600
_LEAST_SECONDS = 1.0
_AROUND = 100
"""Answers before and after the moment from which one is lent."""


class Recorded(NamedTuple):
    """Requests in order of arrival, [requests] each; those from before the rollout are only lent from."""

    second: NDArray[np.float64]
    """Since the rollout began."""
    candidate: NDArray[np.bool_]
    """Who answered."""
    share: NDArray[np.float64]
    """With which it was randomised in this rollout; 0 where it was not."""
    answers: Requests
    """What was answered; `canary` and `step` are not looked at."""


class Redecided(NamedTuple):
    """How the rollout would have gone."""

    state: RolloutState
    """The last one: over, held, or as far as the record goes."""
    seconds: float
    """From its beginning until the candidate took all traffic, was taken back, or the record ended."""
    exposure: int
    """Requests that the candidate would have answered until then."""
    lent: float
    """Share of these whose answer stands in for one that nobody saw."""


def positions(recorded: Recorded, rng: np.random.Generator) -> NDArray[np.float64]:
    """Where each request [requests] lies in [0, 1): below the share of every step in which it was the canary's, above the others.

    All requests of a key lie at the same place.
    """
    low = np.where((recorded.share > 0) & ~recorded.candidate, recorded.share, 0.0)
    high = np.where((recorded.share > 0) & recorded.candidate, recorded.share, 1.0)
    names = {name: index for index, name in enumerate(dict.fromkeys(key for key in recorded.answers.key if key))}
    group = np.array([names[key] if key else len(names) + index for index, key in enumerate(recorded.answers.key)], np.int64)
    lows, highs = np.zeros(len(names) + len(group)), np.ones(len(names) + len(group))
    np.maximum.at(lows, group, low)
    np.minimum.at(highs, group, high)
    place = lows + rng.random(len(lows)) * np.maximum(highs - lows, 0.0)
    return place[group]


def redecide(state: RolloutState, evidence: Evidence, recorded: Recorded, seed: int = 0) -> Redecided:
    """What the machine would have decided from `state`, the first of the other plan; `evidence` is that of the time before.

    It is looked at six hundred times over the record, at most once a second.
    """
    rng = np.random.default_rng(seed)
    place, lender = positions(recorded, rng), _Lender(recorded, rng)
    began, seen, exposure, lent = state.began_at, Seen(), 0, 0
    inside = np.flatnonzero(recorded.second >= 0)
    last = float(recorded.second[-1]) if len(inside) else 0.0
    step = max(_LEAST_SECONDS, last / _LOOKS)
    edges = np.arange(step, last + step, step)
    stops = inside[0] + np.searchsorted(recorded.second[inside], edges, "right") if len(inside) else np.zeros(0, np.int64)
    start = int(inside[0]) if len(inside) else 0
    for second, stop in zip(edges.tolist(), stops.tolist(), strict=True):
        batch = np.arange(start, stop)
        start = stop
        mine = place[batch] < state.share if state.splits else np.ones(len(batch), bool)
        index = lender.answer_of(batch, mine)
        answers = _answers(recorded.answers, batch, index, mine, state.step)
        exposure += int(mine.sum())
        lent += int((mine & (index != batch)).sum())
        if state.splits:
            evidence = latched(state.plan, fold(state.plan, evidence, answers, seen))
        else:
            evidence = fold_live(state.plan, evidence, "", answers, recorded.second[batch].astype(np.int64), seen)
        decision = advance(state, judge(state, evidence), began + timedelta(seconds=second))
        if decision is None:
            continue
        state = decision.state
        if state.over or state.phase == "held" or (state.phase == "baking" and not state.plan.at_once):
            break
    ended = second if len(edges) else 0.0
    return Redecided(state, ended, exposure, lent / exposure if exposure else 0.0)


class _Lender:
    """Whose answer a request gets that goes to one version or the other."""

    def __init__(self, recorded: Recorded, rng: np.random.Generator) -> None:
        self._candidate = recorded.candidate
        self._pools = (np.flatnonzero(~recorded.candidate), np.flatnonzero(recorded.candidate))
        self._rng = rng

    def answer_of(self, batch: NDArray[np.int64], mine: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Indices [batch]: its own where it was answered by that version, else one of that version's from about that time."""
        found = batch.copy()
        for wanted, pool in enumerate(self._pools):
            other = (mine == bool(wanted)) & (self._candidate[batch] != bool(wanted))
            if other.any() and len(pool):
                near = np.searchsorted(pool, batch[other]) + self._rng.integers(-_AROUND, _AROUND, int(other.sum()))
                found[other] = pool[np.clip(near, 0, len(pool) - 1)]
        return found


def _answers(
    answers: Requests, batch: NDArray[np.int64], index: NDArray[np.int64], mine: NDArray[np.bool_], step: int
) -> Requests:
    """The requests `batch` with the answers at `index`."""
    keys: Sequence[str] = [answers.key[each] for each in batch.tolist()]
    fallback = None if answers.fallback is None else answers.fallback[index]
    step_of = np.full(len(index), step)
    return Requests(mine, step_of, answers.status[index], answers.run_ms[index], answers.run_rows[index], keys, fallback)
