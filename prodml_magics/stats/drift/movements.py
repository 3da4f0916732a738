"""How far the statistics that `--method` names move between chunks of a reference, each chunk compared with all others.

As for the Kolmogorov–Smirnov distance (`calibration`), but what chance brings is not known by a law. It shrinks with the rows of a
chunk, and movement does not, so that short and long chunks tell the one from the other:

    mean effect^power of a chunk of c rows, against m others  =  movement^power  +  something · (1/c + 1/m)

What is left of a long chunk when chance is taken off is the movement; where long chunks move more than short ones, all of it is.
The power is two for distances and one for divergences, which grow as squared distances do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.calibration import joined
from prodml_magics.stats.drift.grid import grid_edges
from prodml_magics.stats.drift.statistics import STATISTICS, Scale
from prodml_magics.stats.drift.support import Support

__all__ = ["movements_of_counts", "movements_of_numbers"]

_CELLS = 240
_MOST_LEVELS = 1_000
_BY_OTHER_MEANS = ("ks", "tv")
"""Whose calibration is the column's own."""

_Effect = Callable[[NDArray[Any], NDArray[Any]], Any]
"""Counts [..., cells] of the two sides → the effect [...]."""


def movements_of_numbers(
    chunks: Sequence[NDArray[Any]], values: NDArray[Any], bins: NDArray[Any], scale: Scale
) -> dict[str, float]:
    """By statistic, from chunks of present values, each sorted; `values` are a sorted sample of all, `bins` the edges of its bins.

    Statistics that are undefined for these values are left out.
    """
    if not len(values):
        return {}
    edges = np.union1d(grid_edges(values, _CELLS), bins)
    upto = np.array([np.searchsorted(chunk, edges, side="right") for chunk in chunks])
    counts = np.diff(upto, prepend=0, append=np.array([len(chunk) for chunk in chunks])[:, None])
    support = Support(_middles(chunks, upto, counts), counts, counts, np.searchsorted(bins, np.append(edges, np.inf)))
    held = counts.any(axis=0)
    support = Support(support.points[held], counts[:, held], counts[:, held], support.bin_of[held])

    def effect_of(name: str) -> _Effect:
        numeric = STATISTICS[name].numeric
        assert numeric is not None
        return lambda before, now: numeric(support._replace(before=before, now=now), scale)

    names = [name for name, statistic in STATISTICS.items() if statistic.applies("numeric") and name not in _BY_OTHER_MEANS]
    return _movements({name: effect_of(name) for name in names}, support.now)


def _middles(chunks: Sequence[NDArray[Any]], upto: NDArray[np.intp], counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """The mean of the values in every cell, from the smallest value on, so that no offset costs precision; zero where there are none."""
    base = min((chunk[0] for chunk in chunks if len(chunk)), default=0)
    total = np.zeros(counts.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        for chunk, cuts in zip(chunks, upto, strict=True):
            precision = np.longdouble if chunk.dtype.kind in "iu" else np.float64
            sums = np.concatenate([[0.0], np.cumsum(np.subtract(chunk, base, dtype=precision).astype(np.float64))])
            total += np.diff(sums[cuts], prepend=0.0, append=sums[-1])
        return total / np.maximum(counts.sum(axis=0), 1)


def movements_of_counts(counts: NDArray[np.int64]) -> dict[str, float]:
    """By statistic, from counts [chunks, levels]; levels beyond the thousand most frequent are one."""
    order = np.argsort(-counts.sum(axis=0), kind="stable")
    kept, rest = counts[:, order[:_MOST_LEVELS]], counts[:, order[_MOST_LEVELS:]]
    counts = np.column_stack([kept, rest.sum(axis=1)]) if rest.any() else kept
    statistics = {name: each.categorical for name, each in STATISTICS.items() if name not in _BY_OTHER_MEANS}
    return _movements({name: effect for name, effect in statistics.items() if effect is not None}, counts)


def _movements(effects: Mapping[str, _Effect], counts: NDArray[Any]) -> dict[str, float]:
    sizes = [_sides(chunks) for chunks in (counts, joined(counts))]
    if any(len(now) < 2 for _, now in sizes):
        return {}
    weights = [float((1 / before.sum(axis=1) + 1 / now.sum(axis=1)).mean()) for before, now in sizes]
    found = {}
    for name, effect in effects.items():
        power = STATISTICS[name].power
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            short, long = (float(np.mean(effect(before, now) ** power)) for before, now in sizes)
        by_chance = max(0.0, short - long) / (weights[0] - weights[1]) * weights[1]
        if np.isfinite(by_chance + long):
            found[name] = float(max(0.0, long - by_chance) ** (1 / power))
    return found


def _sides(counts: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """All other rows, and the chunk, of the chunks for which there are both."""
    rest = counts.sum(axis=0) - counts
    used = counts.any(axis=1) & rest.any(axis=1)
    return rest[used], counts[used]
