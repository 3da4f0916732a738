"""A past rollout decided anew under another plan, from what was recorded of it.

Every request keeps its moment and its key. Whom it would have gone to is drawn so that it agrees with whom it went to: under a smaller
share the canary's requests are a part of those that it had, under a larger one they are all of those and more. Where a request would
have gone to the other version, one of that version's answers from about that time stands in for the answer that nobody saw, and the
label of that answer comes as late as it came then. How many of the candidate's answers were lent so is told with the result: what was
recorded at 1 % knows little of 50 %. When it would have been taken back is read from all of these; whether it would, from what was
answered in truth (`unlent`): where that shows no harm it cannot be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from prodml_magics.rollouts.canary import ASKS_NO_WORSE, Decision, Judgement, advance
from prodml_magics.rollouts.evidence import Evidence
from prodml_magics.rollouts.fold import Seen, fold, fold_live
from prodml_magics.rollouts.judge import judge, latched
from prodml_magics.rollouts.late import Given, noted_after, with_late
from prodml_magics.rollouts.recorded import Recorded, units_of
from prodml_magics.rollouts.unlent import answers_at, shown_unlent
from prodml_magics.wire.rollouts import RolloutState

__all__ = ["Redecided", "positions", "redecide"]

_LOOKS = 600
_FEWER = 100
"""The same of what was answered in truth, of which is only asked whether it shows harm at all."""
_LEAST_SECONDS = 1.0
_FINER = 30
"""Parts of a stretch in which something was decided, until it is known to the second when."""
_AROUND = 100
"""Answers before and after the moment from which one is lent."""


class Redecided(NamedTuple):
    """How the rollout would have gone."""

    state: RolloutState
    """The last one: over, held, or as far as the record goes; paused where it cannot be told."""
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
    group = units_of(recorded)
    lows, highs = np.zeros(2 * len(group)), np.ones(2 * len(group))
    np.maximum.at(lows, group, low)
    np.minimum.at(highs, group, high)
    place = lows + rng.random(len(lows)) * np.maximum(highs - lows, 0.0)
    return place[group]


def redecide(state: RolloutState, evidence: Evidence, recorded: Recorded, seed: int = 0, *, ended: float = 0.0) -> Redecided:
    """What the machine would have decided from `state`, the first of the other plan; `evidence` is that of the time before.

    It is looked at six hundred times until the second in which it `ended` in truth, as often over the rest of the record, and every
    second where something was decided.
    """
    anew = _Anew(recorded, np.random.default_rng(seed))
    at, middle = _Standing(state, evidence, Seen(), Given.none(), 0.0), min(ended, anew.last)
    ends = [*_stretches(0.0, middle, _LOOKS), *_stretches(middle, anew.last, _LOOKS)]
    fewer = [*_stretches(0.0, middle, _FEWER), *_stretches(middle, anew.last, _FEWER)]
    shown = shown_unlent(state.plan, evidence, recorded, anew.looks(fewer), seed)
    waiting = ends[::-1]
    while waiting:
        until = waiting.pop()
        before = at.seen_before(anew.keys(at.second, until))
        after, decision = anew.look(at, until, shown)
        finer = _stretches(at.second, until, _FINER)
        if decision is not None and len(finer) > 1:
            at.unsee(before)
            waiting += finer[::-1]
            continue
        at = after
        if decision is not None and _settled(decision.state):
            break
    return at.told(shown)


def _stretches(since: float, until: float, most: int) -> list[float]:
    """The ends of at most so many stretches of at least a second, that lead from one moment to the other."""
    count = max(1, min(most, int((until - since) / _LEAST_SECONDS)))
    return np.linspace(since, until, count + 1)[1:].tolist() if until > since else []


def _settled(state: RolloutState) -> bool:
    """Whether there is nothing more to decide of it from the record."""
    return state.over or state.phase == "held" or (state.phase == "baking" and not state.plan.at_once)


def _first_of(recorded: Recorded) -> int:
    """The first request of the rollout: those before that the gateway had not begun to split yet are none of it."""
    randomised = np.flatnonzero((recorded.second >= 0) & (recorded.share > 0))
    return int(randomised[0]) if len(randomised) else int(np.searchsorted(recorded.second, 0.0))


class _Standing(NamedTuple):
    """How far it has come."""

    state: RolloutState
    evidence: Evidence
    seen: Seen
    given: Given
    second: float
    exposure: int = 0
    lent: int = 0
    """Of the exposure."""
    stood_in: bool = False
    """Whether any answer did, of either version."""
    doubted: str = ""
    """What only lent answers called worse, when they first did."""

    def told(self, shown: frozenset[str]) -> Redecided:
        """As the result; guards that are worse are `shown` to be so without lending."""
        state, doubted = self.state, self.doubted
        if shown and state.phase in ("baking", "done") and state.share >= ASKS_NO_WORSE and 2 * self.lent > self.exposure:
            doubted = f"{' and '.join(sorted(shown))} no worse at {state.share:.4g} of the traffic"
        if doubted and state.phase != "rolled back":
            reason = f"cannot be told from this record: {doubted} only where answers stand in for others"
            state = replace(state, phase="paused", reason=reason)
        return Redecided(state, self.second, self.exposure, self.lent / self.exposure if self.exposure else 0.0)

    def judged(self, shown: frozenset[str]) -> tuple[Judgement, str]:
        """What is decided by, and what is doubted: of lent answers nothing is believed to be worse that is not `shown` without them."""
        found = judge(self.state, self.evidence)
        if not self.stood_in:
            return found, self.doubted
        harm, unwell = (tuple(each for each in of if each in shown) for of in (found.harm, found.unwell))
        worse = (*found.harm, *found.unwell)
        doubted = (
            f"{' and '.join(worse)} worse at {self.state.share:.4g} of the traffic" if worse and not (harm or unwell) else ""
        )
        return found._replace(harm=harm, unwell=unwell), self.doubted or doubted

    def seen_before(self, keys: frozenset[str]) -> tuple[frozenset[str], dict[str, set[str]]]:
        """`keys`, and those of them that are counted already."""
        return keys, {kind: known & keys for kind, known in self.seen.items()} if keys else {}

    def unsee(self, before: tuple[frozenset[str], dict[str, set[str]]]) -> None:
        """As it was before those keys were looked at."""
        keys, known = before
        for kind, of_kind in self.seen.items():
            of_kind -= keys
            of_kind |= known.get(kind, set())


class _Anew:
    """A record, with who would have been given what."""

    def __init__(self, recorded: Recorded, rng: np.random.Generator) -> None:
        self._recorded = recorded
        self._place, self._unit = positions(recorded, rng), units_of(recorded)
        self._lender = _Lender(recorded, rng)
        self._first = _first_of(recorded)
        noted = [recorded.second + each.delay for each in recorded.late.values()]
        ends = [float(np.nanmax(each)) for each in noted if np.isfinite(each).any()]
        inside = recorded.second[self._first :]
        self.last = max([float(inside[-1]), *ends]) if len(inside) else 0.0
        """Second of the last request, or of the last label."""

    def _batch(self, since: float, until: float) -> NDArray[np.int64]:
        """Requests that came in (since, until]; the very first moment belongs to the first stretch."""
        start = int(np.searchsorted(self._recorded.second, since, "right")) if since > 0 else 0
        return np.arange(max(start, self._first), np.searchsorted(self._recorded.second, until, "right"))

    def keys(self, since: float, until: float) -> frozenset[str]:
        """Of the requests of that stretch."""
        return frozenset(filter(None, (self._recorded.answers.key[each] for each in self._batch(since, until).tolist())))

    def looks(self, ends: Sequence[float]) -> list[tuple[NDArray[np.int64], float]]:
        """The requests of each stretch that ends so."""
        return [(self._batch(since, until), until) for since, until in pairwise([0.0, *ends])]

    def look(self, at: _Standing, until: float, shown: frozenset[str]) -> tuple[_Standing, Decision | None]:
        """What stands at `until`, and what was decided there; guards that are worse are `shown` to be so without lending."""
        state, evidence, recorded = at.state, at.evidence, self._recorded
        batch = self._batch(at.second, until)
        mine = self._place[batch] < state.share if state.splits else np.ones(len(batch), bool)
        index = self._lender.answer_of(batch, mine)
        answers = answers_at(recorded.answers, batch, index, mine, state.step)
        given, lent = at.given, index != batch
        if state.splits:
            evidence = fold(state.plan, evidence, answers, at.seen)
            if recorded.late:
                fresh = Given(batch, index, mine, np.full(len(batch), state.step))
                given = given.plus(noted_after(recorded.late, fresh, recorded.second))
                stretch = (at.second if at.second > 0 else -np.inf, until)
                evidence = with_late(state.plan, evidence, recorded.late, given, recorded.second, self._unit, stretch)
            evidence = latched(state.plan, evidence)
        else:
            evidence = fold_live(state.plan, evidence, "", answers, recorded.second[batch].astype(np.int64), at.seen)
        after = at._replace(
            evidence=evidence,
            given=given,
            second=until,
            exposure=at.exposure + int(mine.sum()),
            lent=at.lent + int((mine & lent).sum()),
            stood_in=at.stood_in or bool(lent.any()),
        )
        judged, doubted = after.judged(shown)
        decision = advance(state, judged, state.began_at + timedelta(seconds=until))
        return after._replace(state=decision.state if decision else state, doubted=doubted), decision


class _Lender:
    """Whose answer a request gets that goes to one version or the other."""

    def __init__(self, recorded: Recorded, rng: np.random.Generator) -> None:
        self._recorded = recorded
        asked = recorded.share > 0
        answered = recorded.answers.status // 100 != 4  # what was rejected is recorded in rollouts alone
        self._pools = {
            (inside, wanted): np.flatnonzero((asked if inside else answered) & (recorded.candidate == wanted))
            for inside in (False, True)
            for wanted in (False, True)
        }
        self._offset = rng.integers(-_AROUND, _AROUND, len(recorded.second))

    def answer_of(self, batch: NDArray[np.int64], mine: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Indices [batch]: its own where it was answered by that version, else one of that version's from about that time."""
        found, asked = batch.copy(), self._recorded.share[batch] > 0
        for (inside, wanted), pool in self._pools.items():
            other = (mine == wanted) & (self._recorded.candidate[batch] != wanted) & (asked == inside)
            pool = pool if len(pool) else self._pools[False, wanted]
            if other.any() and len(pool):
                near = np.searchsorted(pool, batch[other]) + self._offset[batch[other]]
                found[other] = pool[np.clip(near, 0, len(pool) - 1)]
        return found
