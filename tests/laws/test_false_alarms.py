"""How often `detect` cries drift where there is none, and how often it sees a real one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from prodml_magics.stats.drift import Tolerances, detect, prepare
from prodml_magics.stats.drift.detect import gather, judged
from prodml_magics.stats.multiplicity import ADJUSTMENTS

_ALPHA = 0.05
_WINDOWS = 400


def _rows(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    """Continuous, tied, skewed, with missing values, and categorical with many rare levels; all independent."""
    gaps = rng.normal(size=rows)
    gaps[rng.random(rows) < 0.1] = np.nan
    return {
        "normal": rng.normal(size=rows),
        "tied": rng.poisson(2, rows),
        "skewed": rng.lognormal(size=rows),
        "gaps": gaps,
        "two": rng.choice(["a", "b"], rows, p=[0.2, 0.8]),
        "rare": rng.choice([f"level {i}" for i in range(200)], rows, p=(w := 1 / np.arange(1, 201)) / w.sum()),
    }


_NULL_WINDOWS = 10_000
_WINDOWS_PER_REFERENCE = 50


@pytest.mark.parametrize("rows", [40, 250])
def test_without_drift_and_with_zero_tolerance_windows_are_flagged_at_most_at_the_stated_rate(rows: int) -> None:
    """Every mode, on 10,000 verdicts between them; no tolerance helps, so the bound and the control alone must hold.

    The modes judge the same evidence of the same windows: each has as many of them as if it had drawn its own.
    """
    rng = np.random.default_rng(rows)
    zero = Tolerances(0.0, 0.0, 0.0, 0.0)
    windows = _NULL_WINDOWS // 6
    flagged = dict.fromkeys(ADJUSTMENTS, 0)
    for i in range(windows):
        if i % _WINDOWS_PER_REFERENCE == 0:
            reference = prepare(_rows(rng, 2_000))
        gathered = gather(reference, _rows(rng, rows), alpha=_ALPHA, tolerances=zero)
        for fdr in flagged:
            flagged[fdr] += bool(judged(gathered, _ALPHA, fdr).drifted)
    # Windows that share a reference are not independent: the spread is that of the references, and wider.
    most = _ALPHA + 3 * np.sqrt(_ALPHA * (1 - _ALPHA) / (windows / 4))
    assert {fdr: count / windows for fdr, count in flagged.items() if count / windows > most} == {}


def test_lower_bound_of_total_variation_lies_above_the_truth_at_most_at_the_stated_rate() -> None:
    rng = np.random.default_rng(2)
    before, now = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.2, 0.3, 0.2, 0.3])
    misses = 0
    for _ in range(_WINDOWS):
        x, y = (rng.choice(list("abcd"), 200, p=p) for p in (before, now))
        misses += detect(prepare({"a": x}), {"a": y}, alpha=_ALPHA).effect_low[0] > 0.2
    assert misses <= _ALPHA * _WINDOWS


def test_a_harmless_shift_is_significant_in_large_windows_and_still_no_drift() -> None:
    rng = np.random.default_rng(3)
    found = detect(prepare({"a": rng.normal(size=100_000)}), {"a": rng.normal(0.02, 1, 100_000)})
    assert found.p_adjusted[0] < 0.001
    assert found.drifted == []


def test_a_real_shift_is_seen_and_few_discoveries_are_false() -> None:
    rng = np.random.default_rng(4)
    reference = prepare(_rows(rng, 5_000))
    hits, false_shares = 0, []
    for _ in range(200):
        now = _rows(rng, 300)
        now["normal"] = now["normal"] + 0.7
        drifted = detect(reference, now, alpha=_ALPHA).drifted
        hits += "normal" in drifted
        false_shares.append(sum(name != "normal" for name in drifted) / max(1, len(drifted)))
    assert hits >= 198
    assert np.mean(false_shares) <= _ALPHA + 3 * np.std(false_shares) / np.sqrt(200)
