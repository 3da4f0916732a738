"""Watching for ever: alarms about hourly series of served rows, at most one false one in 1/alpha hours on average.

The null is that the hours are exchangeable once season and memory are taken off, never that rows are like the training rows: at
10,000 rows an hour the latter is always false. What a series looks like is learnt from its own first four weeks, or as many as it
takes until they hold 30 times the hours over which it remembers; then each hour is scored by its rank among those
(`season`, `sequential.e_detector`). Beside the hours run the days, for what moves too slowly for hours to show, and for a series
that is still being learnt: a day is then scored by its rank among the days before.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.season import DAY_HOURS, WEEK_HOURS, Season, fit_season, news, residuals
from prodml_magics.stats.sequential.e_detector import BETS, advance, bets, conformal_scores, deflation

__all__ = ["LEARNING_DAYS", "Alarm", "Watched", "watch"]

_Floats = NDArray[np.float64]
_Hours = NDArray[np.int64]

LEARNING_DAYS = 28
_LONGEST_WEEKS = 12
_CORRELATION_TIMES = 30
_FEWEST_DAYS = 7
"""A day is scored once so many are there to rank it among."""
_FEWEST_OF_A_DAY = 12
"""Hours that a day needs."""
_SLOWEST_HOURS = 72.0
"""A series that remembers longer than this moves so slowly that even its days foretell each other; it is not judged."""


class Alarm(NamedTuple):
    """Raised at the end of an `hour` since 1970; `culprits` are places of series, strongest first; `began` is the hour with which
    the strongest one's evidence begins."""

    hour: int
    began: int
    culprits: tuple[int, ...]


class Watched(NamedTuple):
    """Of series [series]: alarms in order; `evidence` now as a share of what raises one; from which hour on each is judged by the hour.

    `since` [series] is −1 where a series is still learnt, −2 where it moves too slowly or has too few hours; `shift` [series] is the
    mean score of its latest 24 judged hours (of its latest day where only days are judged), in sd, NaN where there is none.
    `learning_days` is how many days are left until the first series is learnt; 0 when one is.
    """

    alarms: tuple[Alarm, ...]
    evidence: float
    since: _Hours
    shift: _Floats
    learning_days: int


def watch(values: _Floats, first_hour: int, *, alpha: float, seed: int = 0, reference_days: int | None = None) -> Watched:
    """Run over series [hours, series] of successive hours, the first of which is counted from 1970; NaN where an hour says nothing.

    `alpha` is the rate of false alarms an hour. `reference_days` fixes what is learnt from, where the caller knows of a good stretch.
    After an alarm all detectors begin anew. A ties-breaking `seed` is all the randomness there is: the same series gives the same.
    """
    hours, series = values.shape
    clock = first_hour + np.arange(hours)
    learnt = [_learn(clock, values[:, place], reference_days) for place in range(series)]
    by_hour, by_day = _scores(learnt, clock, values, seed)
    alarms, evidence = _run(learnt, by_hour, by_day, clock, alpha)
    since = np.array([each.since for each in learnt], dtype=np.int64)
    waiting = [_days_left(each, hours) for each in learnt if each.since == -1]
    left = 0 if (since >= 0).any() else min(waiting, default=0)
    return Watched(alarms, evidence, np.where(since >= 0, since + first_hour, since), _shifts(by_hour, by_day), left)


# ── learning ───────────────────────────────────────────────────────────────────────────────────────────────────────


class _Learnt(NamedTuple):
    """`season` and `since`, the place from which hours are judged (or −1, −2); sorted news and daily residuals of before."""

    season: Season | None
    since: int
    hourly: _Floats
    daily: _Floats


def _learn(clock: _Hours, values: _Floats, reference_days: int | None) -> _Learnt:
    nothing = np.zeros(0)
    lengths = [reference_days * DAY_HOURS] if reference_days else [w * WEEK_HOURS for w in range(4, _LONGEST_WEEKS + 1)]
    season, slow = None, False
    for length in lengths:
        if length > len(values):
            break
        part = values[:length]
        if np.isfinite(part).sum() < length / 2:
            continue
        season = fit_season(clock[:length], part)
        slow = season.correlation_hours > _SLOWEST_HOURS
        if np.isfinite(part).sum() < _CORRELATION_TIMES * season.correlation_hours:
            continue
        left = residuals(season, clock[:length], part)
        told = news(season, left)
        return _Learnt(season, length, np.sort(told[np.isfinite(told)]), _sorted_days(clock[:length], left))
    unable = len(values) >= lengths[-1] or slow
    return _Learnt(season, -2 if unable else -1, nothing, nothing)


def _days_left(learnt: _Learnt, hours: int) -> int:
    """Until a series may be learnt, as far as its memory is known: whole weeks, at least four, and 30 times the hours it remembers."""
    memory = 0.0 if learnt.season is None else _CORRELATION_TIMES * learnt.season.correlation_hours
    weeks = min(_LONGEST_WEEKS, math.ceil(max(LEARNING_DAYS * DAY_HOURS, memory) / WEEK_HOURS))
    while weeks * WEEK_HOURS <= hours and weeks < _LONGEST_WEEKS:
        weeks += 1  # hours without rows do not count
    return max(1, math.ceil((weeks * WEEK_HOURS - hours) / DAY_HOURS))


def _sorted_days(clock: _Hours, left: _Floats) -> _Floats:
    days = _days(clock, left)[1]
    days = days[np.isfinite(days)]
    # Eleven coefficients were fitted to these very days, five of which show in a mean of a day.
    return np.sort(days * math.sqrt(len(days) / max(1, len(days) - 5)))


def _days(clock: _Hours, values: _Floats) -> tuple[_Hours, _Floats]:
    """The last hour of each whole day (UTC), and the mean of the day; NaN where fewer than twelve hours are present."""
    ends = np.flatnonzero(clock % DAY_HOURS == DAY_HOURS - 1)
    ends = ends[ends >= DAY_HOURS - 1]
    blocks = values[ends[:, None] - np.arange(DAY_HOURS)[::-1]] if len(ends) else np.zeros((0, DAY_HOURS))
    present = np.isfinite(blocks).sum(axis=1)
    means = np.nansum(blocks, axis=1) / np.maximum(present, 1)
    return ends, np.where(present >= _FEWEST_OF_A_DAY, means, np.nan)


# ── scores ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _scores(learnt: list[_Learnt], clock: _Hours, values: _Floats, seed: int) -> tuple[_Floats, dict[int, _Floats]]:
    """Scores of the hours [hours, series], NaN where not judged, and by the last hour of a day those of the days [series]."""
    generator = np.random.default_rng(seed)
    by_hour = np.full(values.shape, np.nan)
    of_days: dict[int, _Floats] = {}
    for place, each in enumerate(learnt):
        series = values[:, place]
        uniforms, daily_uniforms = generator.random(len(clock)), generator.random(len(clock) // DAY_HOURS + 1)
        left = None if each.season is None else residuals(each.season, clock, series)
        if each.since >= 0 and left is not None and each.season is not None:
            told = news(each.season, left)[each.since :]
            by_hour[each.since :, place] = conformal_scores(each.hourly, told, uniforms[each.since :])
        slow = each.since == -2 and each.season is not None and each.season.correlation_hours > _SLOWEST_HOURS
        if not slow:
            for end, score in _day_scores(each, clock, series, left, daily_uniforms):
                of_days.setdefault(end, np.full(len(learnt), np.nan))[place] = score
    return by_hour, of_days


def _day_scores(
    each: _Learnt, clock: _Hours, series: _Floats, left: _Floats | None, uniforms: _Floats
) -> list[tuple[int, float]]:
    """Days of what is learnt among the learnt ones; before that each among those before it."""
    ends, raw = _days(clock, series)
    found = []
    whole = each.since if each.since >= 0 else len(clock)
    early = np.flatnonzero((ends < whole) & np.isfinite(raw))
    for count, place in enumerate(early.tolist()):
        if count >= _FEWEST_DAYS:
            before = np.sort(raw[early[:count]])
            found.append((int(ends[place]), conformal_scores(before, raw[[place]], uniforms[[place]])[0]))
    if each.since >= 0 and left is not None and len(each.daily) >= _FEWEST_DAYS:
        means = _days(clock, left)[1]
        late = np.flatnonzero((ends >= whole + DAY_HOURS - 1) & np.isfinite(means))
        scores = conformal_scores(each.daily, means[late], uniforms[late])
        found += [(int(ends[place]), score) for place, score in zip(late.tolist(), scores.tolist(), strict=True)]
    return found


def _shifts(by_hour: _Floats, by_day: dict[int, _Floats]) -> _Floats:
    shift = np.full(by_hour.shape[1], np.nan)
    for end in sorted(by_day):
        shift = np.where(np.isfinite(by_day[end]), by_day[end], shift)
    for place in range(len(shift)):
        judged = by_hour[np.isfinite(by_hour[:, place]), place][-DAY_HOURS:]
        if len(judged):
            shift[place] = judged.mean()
    return shift


# ── detectors ──────────────────────────────────────────────────────────────────────────────────────────────────────


class _Detectors(NamedTuple):
    """`state` [series, 8]; `best` is the largest product of bets that begin at one moment, `began` [series, 8] where it begins."""

    state: _Floats
    best: _Floats
    began: _Hours

    @property
    def level(self) -> _Floats:
        return self.state.mean(axis=1)

    def beginning(self, series: int) -> int:
        """Where the evidence against a series began to grow."""
        return int(self.began[series, self.best[series].argmax()])


def _fresh(series: int) -> _Detectors:
    return _Detectors(np.zeros((series, BETS)), np.zeros((series, BETS)), np.zeros((series, BETS), np.int64))


def _step(before: _Detectors, scores: _Floats, deflations: _Floats, place: int) -> _Detectors:
    """Series that have no score stay as they are."""
    judged = np.isfinite(scores)[:, None]
    values = bets(np.nan_to_num(scores)) / deflations
    began = np.where(judged & (before.best <= 1), place, before.began)
    best = np.where(judged, np.maximum(before.best, 1) * values, before.best)
    return _Detectors(np.where(judged, advance(before.state, values), before.state), best, began)


def _run(
    learnt: list[_Learnt], by_hour: _Floats, by_day: dict[int, _Floats], clock: _Hours, alpha: float
) -> tuple[tuple[Alarm, ...], float]:
    """Alarms, and the evidence at the end as a share of what raises one.

    Half of the weight is that of the hours, half that of the days: 24 times the detector of the days is one of hours.
    """
    series = len(learnt)
    if not series:
        return (), 0.0
    hours, days = _fresh(series), _fresh(series)
    of_hours, of_days = (_deflations([getattr(each, name) for each in learnt]) for name in ("hourly", "daily"))
    alarms, evidence = [], 0.0
    for place in range(len(clock)):
        hours = _step(hours, by_hour[place], of_hours, place)
        if place in by_day:
            fixed = np.array([0 <= each.since <= place for each in learnt])
            days = _step(days, by_day[place], np.where(fixed[:, None], of_days, 1.0), place - DAY_HOURS + 1)
        together = (hours.level + DAY_HOURS * days.level) / 2
        evidence = float(together.mean()) * alpha
        if evidence >= 1:
            alarms.append(_alarm(hours, days, together, clock, place, alpha))
            hours, days = _fresh(series), _fresh(series)
    return tuple(alarms), min(evidence, 1.0)


def _alarm(hours: _Detectors, days: _Detectors, together: _Floats, clock: _Hours, place: int, alpha: float) -> Alarm:
    culprits = _culprits(together, alpha)
    first = culprits[0]
    decided = hours if hours.level[first] >= DAY_HOURS * days.level[first] else days
    return Alarm(int(clock[place]), int(clock[max(0, decided.beginning(first))]), culprits)


def _deflations(references: list[_Floats]) -> _Floats:
    return deflation(np.array([max(1, len(each)) for each in references], dtype=np.float64))


def _culprits(together: _Floats, alpha: float) -> tuple[int, ...]:
    """Series whose own detectors exceed what e-BH asks of them (Wang & Ramdas 2022); else the strongest alone."""
    order = np.argsort(-together)
    ranks = np.arange(1, len(order) + 1)
    enough = np.flatnonzero(together[order] * alpha * ranks >= len(order))
    count = int(enough[-1]) + 1 if len(enough) else 1
    return tuple(order[:count].tolist())
