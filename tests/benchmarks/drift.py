"""Drift statistics against scipy, np.sort, polars' scan and peers, on the same arrays: python tests/benchmarks/drift.py [PART …].

Parts: exact (100 columns × 100,000 rows), exact-1m (× 1,000,000), chi2, sketch, cube, mmd, compile, stream (10 million rows); all of them
by default. Peers (alibi-detect, Evidently, NannyML) are timed where they are installed. Lines with a bound say whether it was kept.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import scipy
from benchmarks._stream import main as stream
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


def _line(what: str, seconds: float, said: str = "", bound: float | None = None) -> None:
    kept = (
        ""
        if bound is None
        else f"   (at most {bound:g} s: {'kept' if seconds <= bound else f'exceeded by {seconds / bound - 1:.0%}'})"
    )
    print(f"{what:<58} {seconds:9.4f} s   {said}{kept}", flush=True)


def _scipy(before: np.ndarray, now: np.ndarray) -> None:
    for i in range(before.shape[1]):
        stats.ks_2samp(before[:, i], now[:, i], method="asymp")
        stats.wasserstein_distance(before[:, i], now[:, i])


def _sort(x: np.ndarray) -> None:
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(np.sort, x.T))


def exact(rows: int, columns: int, bound: float) -> None:
    """KS + W1 + PSI + JS with verdicts against a prepared reference of all rows."""
    before, now = _arrays(rows, columns)
    reference = prepare(before, sample=rows)
    timed = min(_SCIPY_COLUMNS, columns) if rows <= 100_000 else 2
    ours, sort = _best(lambda: detect(reference, now), 3), _best(lambda: _sort(now), 3)
    theirs = _best(lambda: _scipy(before[:, :timed], now[:, :timed]), 1) * columns / timed
    said = f"{theirs / ours:.0f} × scipy, {ours / sort:.1f} × np.sort's time"
    _line(f"exact KS, W1, PSI, JS: {rows:,} × {columns}", ours, said, bound)
    _line("  np.sort of the same array, all threads", sort)
    _line(f"  scipy KS + W1 ({timed} columns, scaled)", theirs)
    sampled = prepare(before)
    if rows > 100_000:
        _line("  the same against a reference of 100,000 values a column", _best(lambda: detect(sampled, now), 3))
    for name, peer in PEERS.items():
        if find_spec(name):
            _peer(name, peer, before[:, :timed], now[:, :timed], columns / timed, ours)


def _peer(name: str, peer: Callable[[Any, Any], Any], before: np.ndarray, now: np.ndarray, times: float, ours: float) -> None:
    import pandas as pd

    frames = [pd.DataFrame(side, columns=[f"x{i}" for i in range(side.shape[1])]) for side in (before, now)]
    theirs = _best(lambda: peer(*frames), 1) * times
    _line(f"  {name} {version(name.replace('_', '-'))}, KS alone, scaled", theirs, f"ours is {theirs / ours:.0f} × as fast")


def _evidently(before: Any, now: Any) -> None:
    from evidently import Report  # type: ignore[import-not-found]
    from evidently.presets import DataDriftPreset  # type: ignore[import-not-found]

    Report([DataDriftPreset(num_method="ks")]).run(now, before).dict()


def _nannyml(before: Any, now: Any) -> None:
    from nannyml import UnivariateDriftCalculator  # type: ignore[import-not-found]

    names = list(before.columns)
    calculator = UnivariateDriftCalculator(column_names=names, continuous_methods=["kolmogorov_smirnov"], chunk_number=1)
    calculator.fit(before).calculate(now)


def _alibi_detect(before: Any, now: Any) -> None:
    from alibi_detect.cd import KSDrift  # type: ignore[import-not-found]

    KSDrift(before.to_numpy()).predict(now.to_numpy())


PEERS: dict[str, Callable[[Any, Any], Any]] = {"evidently": _evidently, "nannyml": _nannyml, "alibi_detect": _alibi_detect}


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

    _line(f"chi-squared from codes: {columns} × {rows:,} × {levels}", _best(counted, 3), bound=0.08)
    texts = names[codes[0]].astype(object)
    _line(
        f"  from Python strings, one column × {rows:,}",
        _best(lambda: chi_squared(*paired_counts(column, as_levels(texts))[1:]), 1),
    )


def _each_sorted(chunks: list[np.ndarray]) -> None:
    for chunk in chunks:
        np.sort(chunk)


def sketches(rows: int = 1_000_000) -> None:
    """Update of one column on one core: continuous, long-tailed and tied values."""
    rng = np.random.default_rng(2)
    draws = {"normal": rng.normal, "lognormal": rng.lognormal, "tied": lambda size: np.round(rng.normal(size=size), 1)}
    for name, draw in draws.items():
        column = prepare({"a": draw(size=100_000)}).columns["a"]
        assert isinstance(column, NumericColumn)
        grid, values = sketch_grid(column), draw(size=rows).astype("f4")
        chunks = np.array_split(values, max(1, rows // 131_072))
        ours = _best(partial(sketch_numbers, grid, Numbers(values, rows)), 7)
        sort = _best(partial(_each_sorted, chunks), 7)
        said = f"{ours / rows * 1e9:.1f} ns a value, {ours / sort:.2f} × the sort"
        _line(f"sketch update of {rows:,} values, one core, {name}", ours, said, 6e-9 * rows)


def windows(names: int = 1_000, buckets: int = 720) -> None:
    """Every statistic of any two windows from the cube."""
    rng = np.random.default_rng(2)
    reference = prepare(rng.normal(size=(5_000, names)))
    cube = Cube({name: each for name, each in reference.columns.items() if isinstance(each, NumericColumn)}, buckets)
    now = rng.normal(size=(200, names)).astype("f4")
    found = sketch_columns(cube.grids, {name: Numbers(now[:, i], 200) for i, name in enumerate(cube.names)})
    for _ in range(buckets):
        cube.append(found)
    what = f"cube: any two windows, {names:,} columns × {buckets} buckets"
    _line(what, _best(lambda: cube.compare((0, 500), (600, 720)), 5), f"{len(cube.grids['x0'].edges)} edges a column", 0.05)


def multivariate() -> None:
    """MMD² with 100 permutations, n = 2,000, d = 32."""
    rng = np.random.default_rng(3)
    x, y = (rng.normal(size=(2_000, 32)).astype("f4") for _ in range(2))
    ours = _best(lambda: mmd(x, y, permutations=100), 3)
    _line("MMD², 100 permutations, n = 2,000, d = 32", ours, bound=7.8 / 30)
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
        for what, bound in (("first call after import jax, compiling", 2.0), ("  in a new process, from the disk cache", 0.3)):
            environment = os.environ | {"PRODML_COMPILE_CACHE": folder}
            done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
            _line(what, float(done.stdout), bound=bound)


PARTS: dict[str, Callable[[], None]] = {
    "exact": lambda: exact(100_000, 100, 0.15),
    "exact-1m": lambda: exact(1_000_000, 100, 1.5),
    "chi2": lambda: chi_squared_of(1_000_000),
    "sketch": sketches,
    "cube": windows,
    "mmd": multivariate,
    "compile": first_call,
    "stream": stream,
}


def main(parts: list[str]) -> None:
    print(f"{os.cpu_count()} cores, {processor()}, load {os.getloadavg()[0]:.1f} at the start; device cpu")
    print(f"python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}; np.sort: {sort_speed()}")
    for part in parts or list(PARTS):
        PARTS[part]()


def processor() -> str:
    """The model, where Linux tells."""
    try:
        with Path("/proc/cpuinfo").open() as lines:
            told = dict(line.split(":", 1) for line in lines if ":" in line)
    except OSError:
        return platform.processor() or platform.machine()
    fields = {key.strip(): value.strip() for key, value in told.items()}
    return f"{fields.get('model name', platform.machine())} (family {fields.get('cpu family', '?')}, model {fields.get('model', '?')})"


def sort_speed() -> str:
    """Of this processor and this build of NumPy, which differ by a factor of eight: the floor of whatever sorts."""
    values = np.random.default_rng(0).standard_normal(131_072, dtype=np.float32)
    return f"{_best(lambda: np.sort(values), 9) / len(values) * 1e9:.1f} ns a value"


if __name__ == "__main__":
    main(sys.argv[1:])
