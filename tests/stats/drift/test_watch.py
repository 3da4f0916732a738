"""A watch for ever: silent for as long as it promises, quick where a series moves, and learning where it cannot know yet."""

from __future__ import annotations

import numpy as np
import pytest

from prodml_magics.stats.drift.season import fit_season, news, residuals
from prodml_magics.stats.drift.watch import watch

FIRST = 480_000
LEARNT = 28 * 24


def _series(rng: np.random.Generator, hours: int, series: int, phi: float = 0.0) -> np.ndarray:
    """Unit variance around a season of days and weeks, each hour remembering the one before by phi."""
    noise = rng.normal(size=(hours, series)) * np.sqrt(1 - phi**2)
    for hour in range(1, hours):
        noise[hour] += phi * noise[hour - 1]
    clock = FIRST + np.arange(hours)[:, None]
    return noise + 3 * np.sin(2 * np.pi * clock / 24) + 2 * np.cos(2 * np.pi * clock / 168 + 1)


def test_season_and_memory_are_found_and_leave_noise() -> None:
    values = _series(np.random.default_rng(0), 2_000, 1, phi=0.6)[:, 0]
    values[[50, 51, 700]] = np.nan
    clock = FIRST + np.arange(2_000)
    season = fit_season(clock, values)
    assert season.phi == pytest.approx(0.6, abs=0.05)
    assert season.correlation_hours == pytest.approx(np.log(0.05) / np.log(season.phi))
    left = news(season, residuals(season, clock, values))
    assert np.isnan(left[[0, 50, 51, 52, 700, 701]]).all()
    left = left[np.isfinite(left)]
    assert left.std() == pytest.approx(0.8, rel=0.05)
    assert abs(np.corrcoef(left[1:], left[:-1])[0, 1]) < 0.07
    constant = fit_season(clock, np.full(2_000, 0.25))
    assert (residuals(constant, clock, np.full(2_000, 0.25)) == 0).all()


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_false_alarms_are_rarer_than_promised(phi: float) -> None:
    """Promised is one in 500 hours; this many hours would have thirteen."""
    rng = np.random.default_rng(5)
    alarms = sum(len(watch(_series(rng, LEARNT + 1_600, 12, phi), FIRST, alpha=1 / 500, seed=run).alarms) for run in range(4))
    assert alarms <= 13


@pytest.mark.parametrize(("shift", "within"), [(1.0, 240), (2.0, 48), (4.0, 16)])
def test_a_shift_is_found_with_its_series_and_its_beginning(shift: float, within: int) -> None:
    values = _series(np.random.default_rng(3), LEARNT + 600, 20, phi=0.5)
    began = LEARNT + 200
    values[began:, 7] += shift
    found = watch(values, FIRST, alpha=1 / 1_000)
    alarm = found.alarms[0]
    assert began <= alarm.hour - FIRST <= began + within
    assert alarm.culprits[0] == 7
    assert abs(alarm.began - FIRST - began) <= 24
    assert found.shift[7] > 0.2


def test_a_change_of_spread_and_the_first_missing_values_are_found() -> None:
    values = _series(np.random.default_rng(4), LEARNT + 500, 5)
    values[LEARNT + 100 :, 2] += np.random.default_rng(5).normal(0, 2.5, 400)
    assert watch(values, FIRST, alpha=1 / 1_000).alarms[0].culprits[0] == 2
    values = _series(np.random.default_rng(4), LEARNT + 500, 5)
    values[:, 4] = 0
    values[LEARNT + 100 :, 4] = 0.02
    found = watch(values, FIRST, alpha=1 / 1_000)
    assert found.alarms[0].culprits == (4,)
    assert found.alarms[0].hour - FIRST < LEARNT + 124


def test_before_four_weeks_it_learns_and_judges_days() -> None:
    values = _series(np.random.default_rng(6), 20 * 24, 5)
    found = watch(values, FIRST, alpha=1 / 500)
    assert (found.alarms, found.learning_days, found.since.tolist()) == ((), 8, [-1] * 5)
    values[12 * 24 :, 1] += 8
    assert watch(values, FIRST, alpha=1 / 500).alarms[0].culprits[0] == 1
    assert watch(values[:0], FIRST, alpha=1 / 500).learning_days == 28


def test_a_series_with_a_long_memory_learns_longer_and_a_wandering_one_is_not_judged() -> None:
    rng = np.random.default_rng(7)
    values = _series(rng, 10 * 168, 2, phi=0.0)
    values[:, 1] = _series(rng, 10 * 168, 1, phi=0.93)[:, 0]
    since = watch(values, FIRST, alpha=1 / 1_000).since - FIRST
    assert since[0] == LEARNT
    assert since[1] > LEARNT
    alone = watch(values[: 30 * 24, 1:], FIRST, alpha=1 / 1_000)
    assert (alone.since.tolist(), 5 <= alone.learning_days <= 54) == ([-1], True)
    wandering = np.cumsum(rng.normal(size=(13 * 168, 1)), axis=0)
    found = watch(wandering, FIRST, alpha=1 / 1_000)
    assert (found.alarms, found.since.tolist(), np.isnan(found.shift).all()) == ((), [-2], True)


def test_hours_without_traffic_are_no_evidence_and_the_same_hours_say_the_same() -> None:
    values = _series(np.random.default_rng(8), LEARNT + 400, 6)
    values[LEARNT + 50 : LEARNT + 350] = np.nan
    one, other = (watch(values, FIRST, alpha=1 / 1_000) for _ in range(2))
    assert one.alarms == other.alarms == ()
    assert one.evidence == other.evidence
