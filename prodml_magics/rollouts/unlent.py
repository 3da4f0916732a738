"""What a record shows without lending: every answer that was really given counts once, at the share with which it was drawn.

Answers that stand in again and again repeat whatever chance made of them, so that a version would be called worse than itself. The
requests of a rollout that was split at random are an experiment of their own, whatever plan it is decided under: they go to whom they
went, at the shares that they had then.

What was not randomised (all traffic at once) is held against the live version's answers from before: heads or tails, the next of the
candidate's or of these, none of them twice. That holds where the times before and after are alike, as for whatever bakes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from prodml_magics.rollouts.e_values import log_harm
from prodml_magics.rollouts.evidence import Evidence, rates_of
from prodml_magics.rollouts.fold import Requests, Seen, fold, fold_live
from prodml_magics.rollouts.harm import culprits
from prodml_magics.rollouts.late import Given, noted_after, with_late
from prodml_magics.rollouts.recorded import Recorded, units_of
from prodml_magics.rollouts.watched import unwell
from prodml_magics.wire.rollouts import RolloutPlan

__all__ = ["answers_at", "shown_unlent"]

_TOSS = 0.5
"""Share of the candidate where nothing was randomised."""


def shown_unlent(
    plan: RolloutPlan, evidence: Evidence, recorded: Recorded, looks: Sequence[tuple[NDArray[np.int64], float]], seed: int
) -> frozenset[str]:
    """Guards that are worse at any of `looks`, of which each brings requests until a second; `evidence` is that of the time before."""
    unlent, since = _Unlent(plan, evidence, recorded, np.random.default_rng(seed)), -np.inf
    found = frozenset[str]()
    for batch, until in looks:
        if plan.at_once:
            unlent.live(batch)
        else:
            unlent.split(batch, (since, until))
        found, since = found | unlent.worse(), until
    return found


class _Unlent:
    """The evidence, as it grows with the record."""

    def __init__(self, plan: RolloutPlan, evidence: Evidence, recorded: Recorded, rng: np.random.Generator) -> None:
        shares = (*np.unique(recorded.share[recorded.share > 0]).tolist(), _TOSS)
        self._plan = replace(plan, steps=tuple(100 * share for share in shares))
        nothing = ((0,) * len(shares),) * 2
        self._evidence = replace(evidence, shares=shares, requests=nothing, counts=tuple(nothing for _ in rates_of(plan)))
        self._recorded, self._unit, self._rng = recorded, units_of(recorded), rng
        before = (recorded.second < 0) & (recorded.share == 0) & ~recorded.candidate & (recorded.answers.status // 100 != 4)
        self._before = rng.permutation(np.flatnonzero(before))
        self._given, self._seen = Given.none(), Seen()

    def split(self, batch: NDArray[np.int64], stretch: tuple[float, float]) -> None:
        """Add requests `batch` that came in `stretch` (seconds), beside whose candidate there was a live version, or was before."""
        recorded = self._recorded
        share, mine = recorded.share[batch], recorded.candidate[batch]
        for step, each in enumerate(self._evidence.shares[:-1]):
            self._add(batch[share == each], step)
        self._toss(batch[mine & (share == 0)])
        if recorded.late:
            late = (recorded.late, self._given, recorded.second, self._unit)
            self._evidence = with_late(self._plan, self._evidence, *late, stretch)

    def _toss(self, theirs: NDArray[np.int64]) -> None:
        """The candidate's answers `theirs`, each behind as many of the time before as tails came up, while there are any."""
        tails = self._rng.geometric(_TOSS, len(theirs)) - 1
        used = np.cumsum(tails)
        theirs = theirs[: int(np.searchsorted(used, len(self._before), "right"))]
        taken = int(used[len(theirs) - 1]) if len(theirs) else 0
        index = np.insert(theirs, np.repeat(np.arange(len(theirs)), tails[: len(theirs)]), self._before[:taken])
        self._before = self._before[taken:]
        self._add(index, len(self._evidence.shares) - 1)

    def _add(self, index: NDArray[np.int64], step: int) -> None:
        recorded = self._recorded
        canary = recorded.candidate[index]
        self._evidence = fold(self._plan, self._evidence, answers_at(recorded.answers, index, index, canary, step), self._seen)
        if recorded.late:
            fresh = Given(index, index, canary, np.full(len(index), step))
            self._given = self._given.plus(noted_after(recorded.late, fresh, recorded.second))

    def live(self, batch: NDArray[np.int64]) -> None:
        """Add requests that go to the candidate as the live version: those that it answered."""
        recorded = self._recorded
        own = batch[recorded.candidate[batch]]
        found = answers_at(recorded.answers, own, own, np.ones(len(own), np.bool_), 0)
        second = recorded.second[own].astype(np.int64)
        self._evidence = fold_live(self._plan, self._evidence, "", found, second, self._seen)

    def worse(self) -> frozenset[str]:
        """Guards that show harm at the plan's alpha."""
        plan, evidence = self._plan, self._evidence
        return frozenset((*culprits(log_harm(plan, evidence), plan.alpha), *unwell(plan, evidence)))


def answers_at(
    answers: Requests, batch: NDArray[np.int64], index: NDArray[np.int64], mine: NDArray[np.bool_], step: int
) -> Requests:
    """The requests `batch` with the answers at `index`."""
    return Requests(
        mine,
        np.full(len(index), step),
        answers.status[index],
        answers.run_ms[index],
        answers.run_rows[index],
        [answers.key[each] for each in batch.tolist()],
        None if answers.fallback is None else answers.fallback[index],
        {metric: said[index] for metric, said in answers.said.items()},
        None if answers.score is None else answers.score[index],
    )
