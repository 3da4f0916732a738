"""Drift kernels against scipy and np.sort on the same arrays: python tests/benchmarks/drift.py [rows] [columns].

Peers (alibi-detect, Evidently, NannyML) are timed where they are installed. The last table is of power and false alarms.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import numpy as np
import scipy
from scipy import stats

from prodml_magics.stats.drift import detect, prepare
from prodml_magics.stats.drift.chi_squared import chi_squared
from prodml_magics.stats.drift.columns import Numbers, as_levels
from prodml_magics.stats.drift.comparison import paired_counts
from prodml_magics.stats.drift.cube import Cube
from prodml_magics.stats.drift.joint.mmd import mmd
from prodml_magics.stats.drift.reference import LevelColumn, NumericColumn
from prodml_magics.stats.drift.sketch import sketch_columns, sketch_grid, sketch_numbers

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


def _line(what: str, seconds: float, said: str = "") -> None:
    print(f"{what:<58} {seconds:9.4f} s   {said}")


def _scipy(before: np.ndarray, now: np.ndarray) -> None:
    for i in range(before.shape[1]):
        stats.ks_2samp(before[:, i], now[:, i], method="asymp")
        stats.wasserstein_distance(before[:, i], now[:, i])


def _sort(x: np.ndarray) -> None:
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(np.sort, x.T))


def exact(rows: int, columns: int) -> None:
    """KS + W1 + PSI + JS with verdicts against a prepared reference."""
    before, now = _arrays(rows, columns)
    reference = prepare(before, sample=rows)
    timed = min(_SCIPY_COLUMNS, columns)
    ours, sort = _best(lambda: detect(reference, now), 3), _best(lambda: _sort(now), 3)
    theirs = _best(lambda: _scipy(before[:, :timed], now[:, :timed]), 1) * columns / timed
    _line(
        f"exact KS, W1, PSI, JS: {rows:,} × {columns}", ours, f"{theirs / ours:.0f} × scipy, {ours / sort:.1f} × np.sort's time"
    )
    _line("  np.sort of the same array, all threads", sort)
    _line(f"  scipy KS + W1 ({timed} columns, scaled)", theirs)


def chi_squared_of(rows: int, columns: int = 20, levels: int = 20) -> None:
    """From integer codes and from strings."""
    rng = np.random.default_rng(1)
    codes = rng.integers(0, levels, (columns, rows))
    names = np.array([f"level {i}" for i in range(levels)])
    column = prepare({"a": names[codes[0]]}).columns["a"]
    assert isinstance(column, LevelColumn)

    def counted() -> None:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for counts in pool.map(lambda row: np.bincount(row, minlength=levels), codes):
                chi_squared(column.counts, counts)

    _line(f"chi-squared from codes: {columns} × {rows:,} × {levels}", _best(counted, 3))
    texts = names[codes[0]].astype(object)
    _line(
        f"  from Python strings, one column × {rows:,}",
        _best(lambda: chi_squared(*paired_counts(column, as_levels(texts))[1:]), 1),
    )


def sketches(rows: int) -> None:
    """Update of one column, and a query of the cube."""
    rng = np.random.default_rng(2)
    column = prepare({"a": rng.normal(size=100_000)}).columns["a"]
    assert isinstance(column, NumericColumn)
    grid, values = sketch_grid(column), rng.normal(size=rows).astype("f4")
    ours = _best(lambda: sketch_numbers(grid, Numbers(values, rows)), 5)
    sort = _best(lambda: [np.sort(values[i : i + 131_072]) for i in range(0, rows, 131_072)], 5)
    _line(
        f"sketch update of {rows:,} values, one core", ours, f"{ours / rows * 1e9:.1f} ns a value, {ours / sort:.2f} × the sort"
    )
    names, buckets = 1_000, 720
    reference = prepare(rng.normal(size=(1_000, names)))
    cube = Cube({name: each for name, each in reference.columns.items() if isinstance(each, NumericColumn)}, buckets)
    now = rng.normal(size=(200, names)).astype("f4")
    found = sketch_columns(cube.grids, {name: Numbers(now[:, i], 200) for i, name in enumerate(cube.names)})
    for _ in range(buckets):
        cube.append(found)
    _line(f"cube: any two windows, {names:,} columns × {buckets} buckets", _best(lambda: cube.compare((0, 500), (600, 720)), 5))


def multivariate() -> None:
    """MMD² with 100 permutations, n = 2,000, d = 32."""
    rng = np.random.default_rng(3)
    x, y = (rng.normal(size=(2_000, 32)).astype("f4") for _ in range(2))
    ours = _best(lambda: mmd(x, y, permutations=100), 3)
    _line("MMD², 100 permutations, n = 2,000, d = 32", ours)
    if find_spec("alibi_detect"):
        from alibi_detect.cd import MMDDrift  # type: ignore[import-not-found]

        detector = MMDDrift(x, backend="pytorch", n_permutations=100)
        theirs = _best(lambda: detector.predict(y), 1)
        _line("  alibi-detect", theirs, f"ours is {theirs / ours:.0f} × as fast")


def first_call() -> None:
    """After `import jax`: compile, then from the disk cache, each in a process of its own."""
    import subprocess
    import tempfile

    code = (
        "import time, numpy as np, jax\n"
        "from prodml_magics.stats.drift.kernels_jax import compute_with_jax\n"
        "from prodml_magics.stats.drift.kernels import Pair\n"
        "x = np.sort(np.random.default_rng(0).normal(size=1000)).astype('f4')\n"
        "started = time.perf_counter(); compute_with_jax([Pair(x, x[::-1], x[::100][1:])] * 10)\n"
        "print(time.perf_counter() - started)"
    )
    with tempfile.TemporaryDirectory() as folder:
        for what in ("first call after import jax, compiling", "  again in a new process, from the disk cache"):
            done = subprocess.run(
                [sys.executable, "-c", code], env=os.environ | {"PRODML_COMPILE_CACHE": folder}, capture_output=True, text=True
            )
            _line(what, float(done.stdout))


def _evidently_default(before: np.ndarray, now: np.ndarray) -> bool:
    """Its rule for more than 1,000 rows, as its documentation states it: W1/sd of the reference ≥ 0.1; else KS p < 0.05."""
    if len(before) > 1_000:
        return bool(stats.wasserstein_distance(before, now) / before.std() >= 0.1)
    return bool(stats.ks_2samp(before, now).pvalue < 0.05)


def power(windows: int = 60, columns: int = 20) -> None:
    """Share of windows with an alarm on any of 20 columns, when one of them is shifted by so many sd (0: false alarms)."""
    print(f"\nwindows of 20 columns with an alarm, one column shifted; {windows} windows a cell, reference of 5,000 rows")
    print(f"{'rows':>8} {'shift':>6} {'ours':>7} {'ours calibrated':>16} {'KS p < .05':>11} {'Evidently rule':>15}")
    rng = np.random.default_rng(4)
    for rows in (300, 2_000, 20_000):
        for shift in (0.0, 0.02, 0.1, 0.3, 0.5, 1.0):
            alarms = np.zeros(4)
            before = rng.normal(size=(5_000, columns)).astype("f4")
            plain, calibrated = prepare(before), prepare(before, calibrate=True)
            for _ in range(windows):
                now = rng.normal(size=(rows, columns)).astype("f4")
                now[:, 0] += np.float32(shift)
                found = [detect(reference, now) for reference in (plain, calibrated)]
                naive = (found[0].p_value < 0.05).any()
                rule = any(_evidently_default(before[:, i], now[:, i]) for i in range(columns))
                alarms += [bool(found[0].drifted), bool(found[1].drifted), naive, rule]
            cells = alarms / windows
            print(f"{rows:>8,} {shift:>6} {cells[0]:>7.0%} {cells[1]:>16.0%} {cells[2]:>11.0%} {cells[3]:>15.0%}")


def main(rows: int = 100_000, columns: int = 100) -> None:
    print(
        f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}, load {os.getloadavg()[0]:.1f} at the start; device cpu"
    )
    print(f"python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}")
    exact(rows, columns)
    chi_squared_of(1_000_000)
    sketches(1_000_000)
    multivariate()
    first_call()
    power()


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:]))
