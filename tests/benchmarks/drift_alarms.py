"""False alarms and power of drift verdicts, printed as tables: python tests/benchmarks/drift_alarms.py [windows] [power windows].

Windows without drift are judged in every mode, on independent rows and on rows that remember each other; windows with drift beside
plain KS tests and the rule that Evidently's documentation states. Brackets are 95 % intervals (Wilson).
"""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Callable, Iterator

import numpy as np
import scipy
from scipy import stats
from scipy.signal import lfilter

from prodml_magics.stats.drift import Reference, Tolerances, detect, prepare
from prodml_magics.stats.drift.bucket import grids_of, sketch_column
from prodml_magics.stats.drift.detect import gather, judged
from prodml_magics.stats.drift.detect_sketches import detect_sketches
from prodml_magics.stats.drift.watch import watch
from prodml_magics.stats.multiplicity import ADJUSTMENTS

_ALPHA = 0.05
_REFERENCE_ROWS = 20_000
_WINDOWS_PER_REFERENCE = 100
_PHI = 0.9
_ZERO = Tolerances(0.0, 0.0, 0.0, 0.0)

Side = dict[str, np.ndarray]
Features = Callable[[np.random.Generator, int], Side]


def independent(rng: np.random.Generator, rows: int) -> Side:
    """Continuous, skewed, tied, with gaps, and categories."""
    gaps = rng.normal(size=rows)
    gaps[rng.random(rows) < 0.1] = np.nan
    return {
        "normal": rng.normal(size=rows),
        "heavy": rng.standard_t(2, rows),
        "skewed": rng.lognormal(size=rows),
        "tied": rng.poisson(2, rows).astype(float),
        "gaps": gaps,
        "two": rng.choice(["a", "b"], rows, p=[0.2, 0.8]),
        "twenty": rng.choice([f"level {i}" for i in range(20)], rows),
    }


def autocorrelated(rng: np.random.Generator, rows: int) -> Side:
    """The same kinds, each row remembering the one before by 0.9."""
    series = lfilter([1], [1, -_PHI], rng.normal(size=(7, rows + 300)), axis=1)[:, 300:] * math.sqrt(1 - _PHI**2)
    ranks = stats.norm.cdf(series)
    return {
        "normal": series[0],
        "heavy": stats.t.ppf(ranks[1], 2),
        "skewed": np.exp(series[2]),
        "tied": np.floor(6 * ranks[3]),
        "gaps": np.where(ranks[4] < 0.1, np.nan, series[4]),
        "two": np.where(ranks[5] < 0.2, "a", "b"),
        "twenty": np.char.add("level ", np.minimum(20 * ranks[6], 19).astype(int).astype(str)),
    }


def _verdicts(reference: Reference, frames: Reference, blind: Reference, now: Side) -> Iterator[tuple[str, bool]]:
    """Mode, and whether any column drifted."""
    for name, prepared, tolerances in (
        ("no tolerance", blind, _ZERO),
        ("default tolerances, rows independent", blind, None),
        ("two frames", frames, None),
        ("calibrated", reference, None),
    ):
        gathered = gather(prepared, now, alpha=_ALPHA, tolerances=tolerances)
        for fdr in ADJUSTMENTS:
            yield f"{name}, {fdr}", bool(judged(gathered, _ALPHA, fdr).drifted)
    grids = grids_of(reference)
    sketches = {name: sketch_column(name, grids[name], values) for name, values in now.items()}
    yield "calibrated, from sketches, bh", bool(detect_sketches(reference, sketches, alpha=_ALPHA).drifted)
    plain = detect(blind, now, alpha=_ALPHA)
    yield "any p < 0.05 (no verdict at all)", bool((plain.p_value < _ALPHA).any())


def _interval(hits: int, of: int) -> str:
    low, high = stats.binomtest(hits, of).proportion_ci(method="wilson")
    return f"{hits / of:7.2%} [{low:6.2%}, {high:6.2%}]"


def false_alarms(windows: int) -> None:
    """Windows of 300 rows without drift that are flagged, per mode."""
    for features, kind in ((independent, "independent rows"), (autocorrelated, f"each row remembers the last by {_PHI}")):
        rng = np.random.default_rng(1)
        hits: dict[str, int] = {}
        for i in range(windows):
            if i % _WINDOWS_PER_REFERENCE == 0:
                rows = features(rng, _REFERENCE_ROWS)
                prepared = prepare(rows, calibrate=True), prepare(rows, calibrate="correlation"), prepare(rows)
            for mode, drifted in _verdicts(*prepared, features(rng, 300)):
                hits[mode] = hits.get(mode, 0) + drifted
        print(f"\n{windows:,} windows of 300 rows × 7 columns without drift, {kind}; alpha {_ALPHA}")
        for mode, count in hits.items():
            print(f"  {mode:<42} {_interval(count, windows)}")


def watched(runs: int = 60, hours: int = 2_000, series: int = 20) -> None:
    """False alarms of --sequential, whose promise is hours between them."""
    rng = np.random.default_rng(2)
    promise, learnt, alarms = 1_000, 28 * 24, 0
    clock = np.arange(learnt + hours)[:, None]
    season = 3 * np.sin(2 * np.pi * clock / 24)
    for run in range(runs):
        noise = lfilter([1], [1, -0.5], rng.normal(size=(learnt + hours, series)), axis=0)
        alarms += len(watch(noise + season, 480_000, alpha=1 / promise, seed=run).alarms)
    print(
        f"\n--sequential, {runs} runs of {hours:,} hours × {series} series with season and memory 0.5, promised one in {promise:,} h:"
    )
    print(f"  {alarms} alarms where {runs * hours // promise} are allowed")


def _evidently_rule(before: np.ndarray, now: np.ndarray) -> bool:
    """Its default for numbers, as its documentation states it: W1/sd of the reference ≥ 0.1 above 1,000 rows; else KS p < 0.05."""
    if len(before) > 1_000:
        return bool(stats.wasserstein_distance(before, now) / before.std() >= 0.1)
    return bool(stats.ks_2samp(before, now).pvalue < 0.05)


def power(windows: int, columns: int = 20) -> None:
    """Share of windows with an alarm on any of 20 columns, when one of them is shifted by so many sd (0: false alarms)."""
    print(f"\nwindows of {columns} columns with an alarm, one column shifted; {windows} windows a cell, reference of 5,000 rows")
    print(f"{'rows':>8} {'shift':>6} {'ours':>7} {'calibrated':>11} {'KS p < .05':>11} {'KS, Bonferroni':>15} {'Evidently':>10}")
    rng = np.random.default_rng(4)
    for rows in (300, 2_000, 20_000):
        for shift in (0.0, 0.02, 0.1, 0.3, 0.5, 1.0):
            alarms = np.zeros(5)
            before = rng.normal(size=(5_000, columns)).astype("f4")
            plain, calibrated = prepare(before), prepare(before, calibrate=True)
            for _ in range(windows):
                now = rng.normal(size=(rows, columns)).astype("f4")
                now[:, 0] += np.float32(shift)
                found = [detect(reference, now) for reference in (plain, calibrated)]
                naive, corrected = ((found[0].p_value < level).any() for level in (0.05, 0.05 / columns))
                rule = any(_evidently_rule(before[:, i], now[:, i]) for i in range(columns))
                alarms += [bool(found[0].drifted), bool(found[1].drifted), naive, corrected, rule]
            cells = alarms / windows
            print(
                f"{rows:>8,} {shift:>6} {cells[0]:>7.0%} {cells[1]:>11.0%} {cells[2]:>11.0%} {cells[3]:>15.0%} {cells[4]:>10.0%}",
                flush=True,
            )


def main(windows: int = 10_000, power_windows: int = 300) -> None:
    print(
        f"{os.cpu_count()} cores; python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}; device cpu"
    )
    false_alarms(windows)
    watched()
    power(power_windows)


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:]))
