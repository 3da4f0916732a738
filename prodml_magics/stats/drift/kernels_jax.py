"""The numeric kernel in JAX, for an accelerator: float32, sorted on the device, counts in int32.

XLA's sort on a CPU is some 50 times slower than numpy's, so there `compute_with_numpy` is used instead; this module runs on
a CPU all the same, which is how the tests hold one against the other. Importing it imports jax.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.kernels import NumericStatistics, Pair
from prodml_magics.stats.drift.reference import BINS
from prodml_magics.stats.drift.shapes import Float, Int, Real

__all__ = ["compute_with_jax", "fits_jax", "remember_compilations"]

_SMALLEST_BUCKET = 1_024
_EDGES = BINS - 1
"""Edges of a column at most."""


def compute_with_jax(pairs: Sequence[Pair]) -> list[NumericStatistics]:
    """Statistics of pairs that fit (`fits_jax`), all columns in one call; padded to powers of two so that little recompiles."""
    if not pairs:
        return []
    remember_compilations()
    columns = _column_bucket(len(pairs))
    sizes = np.ones((columns, 2), dtype=np.int32)
    sizes[: len(pairs)] = [(len(pair.reference), len(pair.current)) for pair in pairs]
    result = _columns(
        _padded([pair.reference for pair in pairs], _bucket(sizes[:, 0].max()), columns),
        _padded([pair.current for pair in pairs], _bucket(sizes[:, 1].max()), columns),
        _padded([pair.edges for pair in pairs], _EDGES, columns),
        sizes,
    )
    ks, distance, upto, quartiles = (np.asarray(part) for part in result)
    return [
        NumericStatistics(
            float(ks[i]),
            float(distance[i]) if _is_finite(pair) and np.isfinite(distance[i]) else np.nan,
            np.diff(upto[i, : len(pair.edges)], prepend=0, append=len(pair.current)).astype(np.int64),
            (float(quartiles[i, 0]), float(quartiles[i, 1]), float(quartiles[i, 2])),
        )
        for i, pair in enumerate(pairs)
    ]


def fits_jax(pair: Pair) -> bool:
    """Whether float32 holds the column; XLA takes subnormal numbers for zero, so a column with some does not fit."""
    tiny = np.finfo(np.float32).tiny
    return pair.reference.dtype == np.float32 and not any(
        ((values != 0) & (np.abs(values) < tiny)).any() for values in (pair.reference, pair.current)
    )


def _is_finite(pair: Pair) -> bool:
    return bool(np.isfinite(pair.reference[[0, -1]]).all() and np.isfinite(pair.current).all())


def _bucket(rows: int) -> int:
    return max(_SMALLEST_BUCKET, 1 << int(rows - 1).bit_length())


def _column_bucket(columns: int) -> int:
    """Powers of two up to 64, multiples of 64 from there: few shapes, and little work on columns that are not there."""
    return 1 << (columns - 1).bit_length() if columns <= 64 else -(-columns // 64) * 64


def remember_compilations() -> None:
    """Keep compiled kernels on disk, in XLA's own cache, unless the caller has chosen a place or none.

    ``PRODML_COMPILE_CACHE`` names the folder, else it is ``prodml-magics/xla`` below the user's cache folder.
    """
    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    jax.config.update("jax_compilation_cache_dir", os.environ.get("PRODML_COMPILE_CACHE") or f"{home}/prodml-magics/xla")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _padded(
    rows: Sequence[Real[NDArray[Any], " _"]], width: int, columns: int
) -> Float[NDArray[np.float32], "{columns} {width}"]:
    """float32 [columns, width], filled up with +inf, which sorts last."""
    padded = np.full((columns, width), np.inf, dtype=np.float32)
    for target, values in zip(padded, rows, strict=False):
        target[: len(values)] = values
    return padded


@jax.jit
@jax.vmap
def _columns(
    reference: Float[jax.Array, " N"], current: Float[jax.Array, " M"], edges: Float[jax.Array, " E"], sizes: Int[jax.Array, " 2"]
) -> tuple[Float[jax.Array, ""], Float[jax.Array, ""], Int[jax.Array, " E"], Float[jax.Array, " 3"]]:
    """One column: reference [N] sorted, current [M], edges [E], sizes (n, m) → KS, W1, rows up to each edge, quartiles."""
    n, m = sizes[0], sizes[1]
    current = jnp.sort(current)
    points = jnp.sort(jnp.concatenate([reference, current]))
    rank = partial(jnp.searchsorted, side="right", method="sort")
    gaps = _gaps(jnp.minimum(rank(reference, points), n), jnp.minimum(rank(current, points), m), n, m)
    widths = jnp.where(jnp.isfinite(points[1:]), jnp.diff(points), 0.0)
    upto = jnp.minimum(rank(current, edges), m).astype(jnp.int32)
    quarter, rest = m // 4, m % 4
    at = jnp.stack([quarter * k + rest * k // 4 for k in (1, 2, 3)])
    return gaps.max(), _sum_in_blocks(gaps[:-1] * widths), upto, current[at]


def _gaps(
    before: Int[jax.Array, " points"], now: Int[jax.Array, " points"], n: Int[jax.Array, ""], m: Int[jax.Array, ""]
) -> Float[jax.Array, " points"]:
    """|before/n − now/m|, from the nearer end, so that float32 keeps its relative precision in both tails."""
    upper = before > n // 2
    before, now = jnp.where(upper, n - before, before), jnp.where(upper, m - now, now)
    return jnp.abs(before.astype(jnp.float32) / n.astype(jnp.float32) - now.astype(jnp.float32) / m.astype(jnp.float32))


def _sum_in_blocks(values: Float[jax.Array, " values"]) -> Float[jax.Array, ""]:
    """A sum in two levels, whose rounding grows with the square root of the length instead of the length."""
    block = 1 << (len(values).bit_length() // 2)
    padded = jnp.pad(values, (0, -len(values) % block))
    return padded.reshape(-1, block).sum(axis=1).sum()
