"""Where a stretch of buckets changes: against a slow search, with an interval that covers, and silent without a change."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from prodml_magics.stats.drift.onset import locate_onset

EDGES = np.linspace(-3, 3, 41)


def _counts(parts: list[np.ndarray]) -> np.ndarray:
    return np.array([np.bincount(np.searchsorted(EDGES, part), minlength=42) for part in parts])


def _buckets(rng: np.random.Generator, change: int, shift: float, buckets: int = 40, rows: int = 30) -> list[np.ndarray]:
    return [rng.normal(shift if i >= change else 0.0, 1, rows) for i in range(buckets)]


def test_the_place_is_that_of_a_search_over_all_places() -> None:
    parts = [np.round(part, 1) for part in _buckets(np.random.default_rng(0), 17, 0.6)]
    cells = [np.searchsorted(EDGES, part) for part in parts]
    slow = [
        stats.ks_2samp(before := np.concatenate(cells[:k]), after := np.concatenate(cells[k:])).statistic
        * np.sqrt(len(before) * len(after) / (len(before) + len(after)))
        for k in range(1, 40)
    ]
    found = locate_onset(_counts(parts))
    assert found is not None
    assert found.bucket == int(np.argmax(slow)) + 1


@pytest.mark.parametrize("shift", [0.5, 1.5])
def test_the_interval_covers_the_truth_about_as_often_as_stated(shift: float) -> None:
    hits, widths = 0, []
    for seed in range(60):
        found = locate_onset(_counts(_buckets(np.random.default_rng(seed), 25, shift)), alpha=0.1)
        assert found is not None
        hits += found.earliest <= 25 <= found.latest
        widths.append(found.latest - found.earliest)
    assert hits >= 60 * 0.9 - 3 * np.sqrt(60 * 0.09)
    assert np.mean(widths) < (8 if shift > 1 else 25)


def test_without_a_change_there_is_none() -> None:
    found = [locate_onset(_counts(_buckets(np.random.default_rng(seed), 99, 0.0))) for seed in range(100)]
    assert sum(each is not None for each in found) <= 5 + 3 * np.sqrt(5)


@pytest.mark.parametrize("counts", [np.zeros((0, 3), int), np.zeros((5, 3), int), np.ones((1, 3), int), np.eye(3, dtype=int)[:2]])
def test_too_little_to_tell_is_none(counts: np.ndarray) -> None:
    assert locate_onset(counts) is None


def test_empty_buckets_do_not_matter() -> None:
    rng = np.random.default_rng(1)
    parts = _buckets(rng, 20, 2.0)
    for place in (0, 5, 30, 39):
        parts[place] = parts[place][:0]
    found = locate_onset(_counts(parts))
    assert found is not None and abs(found.bucket - 20) <= 1
