"""Time `detect` against scipy on the same arrays: python tests/benchmarks/drift.py [rows] [columns]."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy
from scipy import stats

from prodml_magics.stats.drift import detect, prepare

_SCIPY_COLUMNS = 10
"""scipy is timed on this many columns and scaled up; it works column by column."""


def _arrays(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 [rows, columns], columns contiguous, every other one heavily tied, shifted by 0 to 0.3 sd."""
    rng = np.random.default_rng(0)
    before, now = (np.asfortranarray(rng.standard_normal((rows, columns), dtype=np.float32)) for _ in range(2))
    now += np.linspace(0, 0.3, columns, dtype=np.float32)
    for x in (before, now):
        x[:, ::2] = np.round(x[:, ::2], 1)
    return before, now


def _best(work: Callable[[], Any], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _scipy(before: np.ndarray, now: np.ndarray) -> None:
    for i in range(before.shape[1]):
        stats.ks_2samp(before[:, i], now[:, i], method="asymp")
        stats.wasserstein_distance(before[:, i], now[:, i])


def main(rows: int = 100_000, columns: int = 100) -> None:
    before, now = _arrays(rows, columns)
    reference = prepare(before, sample=rows)
    found = detect(reference, now)
    timed = min(_SCIPY_COLUMNS, columns)
    ours = _best(lambda: detect(reference, now), 5)
    sort = _best(lambda: np.sort(now, axis=0), 3)
    theirs = _best(lambda: _scipy(before[:, :timed], now[:, :timed]), 1) * columns / timed
    print(f"{rows:,} rows × {columns} columns, float32; {os.cpu_count()} cores, {platform.processor() or platform.machine()}")
    print(f"python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}; device {found.device}")
    print(f"detect (KS, W1, PSI, JS, verdict)  {ours:8.3f} s")
    print(f"np.sort, one thread                {sort:8.3f} s   detect takes {ours / sort:.1f} ×")
    print(f"scipy KS + W1 ({timed} columns, scaled) {theirs:8.3f} s   detect is {theirs / ours:.0f} × as fast")


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:]))
