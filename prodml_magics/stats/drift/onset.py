"""When a column began to move: the bucket of time that best parts a stretch into a before and an after."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.ks import ks_p_value

__all__ = ["Onset", "locate_onset"]

_RESAMPLES = 200


class Onset(NamedTuple):
    """The first bucket of the after, and the earliest and latest that it may be at level 1 − alpha; the KS distance across it."""

    bucket: int
    earliest: int
    latest: int
    ks: float
    p_value: float
    """Of no change anywhere, Bonferroni over all places."""


def locate_onset(counts: NDArray[np.int64], *, alpha: float = 0.05, seed: int = 0) -> Onset | None:
    """One change in counts int64 [buckets, cells] of successive buckets on one grid; None where none is beyond chance.

    The place maximises √(nm/(n + m))·KS between what lies before and after it (Csörgő & Horváth 1997, Limit Theorems in
    Change-Point Analysis, ch. 2.6), computed from prefix sums; its interval is that of a parametric bootstrap with the
    distributions of both parts.
    """
    if len(counts) < 2 or not counts.any():
        return None
    place, distance = _best(counts[None])
    before, after = counts[: place[0]].sum(axis=0), counts[place[0] :].sum(axis=0)
    n, m = int(before.sum()), int(after.sum())
    if not n or not m:
        return None
    p = min(1.0, ks_p_value(float(distance[0]), n, m) * (len(counts) - 1))
    if p > alpha:
        return None
    generator = np.random.default_rng(seed)
    rows = counts.sum(axis=1)
    shares = [before / n] * int(place[0]) + [after / m] * (len(counts) - int(place[0]))
    drawn = np.stack(
        [generator.multinomial(size, share, size=_RESAMPLES) for size, share in zip(rows, shares, strict=True)], axis=1
    )
    low, high = np.quantile(_best(drawn)[0], [alpha / 2, 1 - alpha / 2], method="inverted_cdf")
    at = int(place[0])
    return Onset(at, min(at, int(low)), max(at, int(high)), float(distance[0]), p)


def _best(counts: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Best place and the KS distance there, for counts [series, buckets, cells]."""
    upto = np.cumsum(np.cumsum(counts, axis=1), axis=2)[:, :-1]
    total = counts.sum(axis=1).cumsum(axis=1)[:, None]
    n = upto[..., -1:]
    m = total[..., -1:] - n
    with np.errstate(invalid="ignore", divide="ignore"):
        gaps = np.abs(upto / n - (total - upto) / m).max(axis=2)
        scaled = np.nan_to_num(gaps * np.sqrt(n * m / (n + m))[..., 0], nan=-1.0)
    best = scaled.argmax(axis=1)
    return best + 1, np.take_along_axis(gaps, best[:, None], axis=1)[:, 0]
