"""Checks every drift kernel that runs in JAX against numpy, then times it on whatever device JAX has.

python tests/benchmarks/gpu_drift.py [rows] [columns]; data is on the device before the clock starts, results are waited for.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from prodml_magics.stats.drift.joint.energy import energy_of_rows
from prodml_magics.stats.drift.joint.mmd import mmd
from prodml_magics.stats.drift.kernels import Pair, compute_with_numpy
from prodml_magics.stats.drift.kernels_jax import _columns, compute_with_jax
from prodml_magics.stats.drift.reference import prepare


def _best(work: Callable[[], Any], repeats: int = 5) -> float:
    jax.block_until_ready(work())
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(work())
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _pairs(rows: int, columns: int) -> list[Pair]:
    rng = np.random.default_rng(0)
    found = []
    for i in range(columns):
        before, now = rng.standard_normal((2, rows), dtype=np.float32)
        if i % 2:
            before, now = np.round(before, 1), np.round(now, 1)
        column = prepare({"a": before}, sample=rows).columns["a"]
        found.append(Pair(column.values.astype("f4"), now + np.float32(0.01 * i), column.edges.astype("f4")))  # type: ignore[union-attr]
    return found


def check() -> None:
    """Raises AssertionError where a kernel on the device says something else than numpy."""
    pairs = [*_pairs(20_000, 6), *_pairs(333, 3)]
    for ours, theirs in zip(compute_with_jax(pairs), compute_with_numpy(pairs), strict=True):
        np.testing.assert_allclose(ours.ks, theirs.ks, atol=2e-6)
        np.testing.assert_allclose(ours.wasserstein, theirs.wasserstein, rtol=1e-4)
        np.testing.assert_array_equal(ours.counts, theirs.counts)
        np.testing.assert_array_equal(ours.quartiles, theirs.quartiles)
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(300, 8)).astype("f4"), rng.normal(0.2, 1, size=(250, 8)).astype("f4")
    for test in (mmd, energy_of_rows):
        on_device, on_cpu = test(jnp.asarray(x), jnp.asarray(y)), test(x, y)
        np.testing.assert_allclose(on_device, on_cpu, rtol=2e-2, atol=2e-4)
    if jax.default_backend() == "gpu":  # a sort of so many takes minutes where XLA sorts on a CPU
        count = 2**24 + 12_345
        many = [Pair(np.zeros(8, "f4"), np.zeros(count, "f4"), np.zeros(1, "f4"))]
        assert compute_with_jax(many)[0].counts.sum() == count
        print("correct beyond 2^24 rows: counts")
    print("correct: KS, W1, bins, quartiles, MMD, energy")


def times(rows: int, columns: int) -> None:
    """Every kernel beside one sort of the same array and the time that reading it once would take at the copy's bandwidth."""
    pairs = _pairs(rows, columns)
    before, now = (jnp.asarray(np.stack([getattr(pair, side) for pair in pairs])) for side in ("reference", "current"))
    width = max(len(pair.edges) for pair in pairs)
    edges = jnp.asarray(np.stack([np.pad(pair.edges, (0, width - len(pair.edges)), constant_values=np.inf) for pair in pairs]))
    sizes = jnp.asarray(np.full((columns, 2), rows, np.int32))
    copy = _best(lambda: now + 1)
    sort = _best(lambda: jnp.sort(now, axis=1))
    kernel = _best(lambda: _columns(before, now, edges, sizes))
    print(f"{columns} × {rows:,} float32, on the device")
    print(f"  copy (read and write)      {copy:9.5f} s   {2 * now.nbytes / copy / 1e9:8.1f} GB/s")
    print(f"  jnp.sort                   {sort:9.5f} s")
    print(f"  KS + W1 + bins + quartiles {kernel:9.5f} s   {kernel / sort:.2f} × the sort, {kernel / copy:.1f} × the copy")
    n = 20_000 if jax.default_backend() == "gpu" else 2_000
    permutations = 1_000 if jax.default_backend() == "gpu" else 100
    rng = np.random.default_rng(2)
    x, y = (jnp.asarray(rng.normal(size=(n, 32)).astype("f4")) for _ in range(2))
    print(
        f"MMD², {permutations} permutations, n = {n:,}, d = 32   {_best(lambda: mmd(x, y, permutations=permutations, width=8.0), 2):9.5f} s"
    )


def main(rows: int = 1_000_000, columns: int = 100) -> None:
    print(
        f"device {jax.devices()[0].device_kind} ({jax.default_backend()}), jax {jax.__version__}, python {platform.python_version()}"
    )
    check()
    times(rows, columns)


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:]))
