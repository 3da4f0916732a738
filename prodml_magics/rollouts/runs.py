"""Latency evidence: model runs beyond a limit, by arm. The run is the unit, since all requests of one run are as slow as it.

A run's time is the version's own: what a request waits for others is not in it. Runs are put into blocks that hold some of each arm.
Within a block, and versions being alike, the slow runs are any of its runs with the same chance. Against that an odds ratio ρ gives
log e = k log ρ − log E[ρ^x], where k of the N slow runs are the canary's and x is hypergeometric: Fisher's exact test as an e-value,
whose mean is 1 whatever the base rate of the block is. Blocks close by how many runs they hold, never by what those showed.

Turner, Ly & Grünwald, JSPI 230 (2024) 106116, treat such blocks; conditioning on N takes the place of their guessed base rate.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from prodml_magics.stats.sequential.mixture import log_mean_exp, log_sum_exp

__all__ = ["Tally", "add_runs", "log_e_of", "log_expected"]

Floats = NDArray[np.float64]
_LARGEST = 1000
"""Runs of a block at most, so that the sum over x stays cheap."""


class Tally(msgspec.Struct, frozen=True):
    """Slow runs of several kinds (thresholds, or a margin): what `log_e_of` needs, and the block that is still open."""

    events: tuple[tuple[int, int], ...]
    """Slow runs by kind and arm (control, canary) in closed blocks."""
    costs: tuple[tuple[float, ...], ...]
    """Σ log E[ρ^x] over closed blocks, by kind and bet."""
    open_runs: tuple[int, int] = (0, 0)
    """Runs of the open block by arm."""
    open_events: tuple[tuple[int, int], ...] = ()

    @classmethod
    def empty(cls, kinds: int, bets: int) -> Tally:
        """Nothing seen of `kinds` kinds."""
        none = tuple((0, 0) for _ in range(kinds))
        return cls(none, tuple((0.0,) * bets for _ in range(kinds)), (0, 0), none)


def add_runs(tally: Tally, canary: NDArray[np.bool_], slow: NDArray[np.bool_], ratios: Floats) -> Tally:
    """`tally` with runs in it: `canary` [runs] says whose, `slow` [runs, kinds] beyond which limits."""
    for start in range(0, len(canary), _LARGEST):
        tally = _add_block(tally, canary[start : start + _LARGEST], slow[start : start + _LARGEST], ratios)
    return tally


def _add_block(tally: Tally, canary: NDArray[np.bool_], slow: NDArray[np.bool_], ratios: Floats) -> Tally:
    runs = np.array(tally.open_runs) + np.array([(~canary).sum(), canary.sum()])
    events = np.array(tally.open_events) + np.stack([slow[~canary].sum(axis=0), slow[canary].sum(axis=0)], axis=1)
    if not runs.all():
        return Tally(tally.events, tally.costs, _pair(runs), _pairs(events))
    expected = log_expected(int(runs[1]), int(runs[0]), events.sum(axis=1), ratios)
    costs = tuple(tuple(each) for each in (np.array(tally.costs) + expected).tolist())
    return Tally(_pairs(np.array(tally.events) + events), costs, (0, 0), tuple((0, 0) for _ in events))


def log_expected(canary: int, control: int, slow: ArrayLike, ratios: Floats) -> Floats:
    """log E[ρ^x] [kinds, bets], x the canary's part of `slow` [kinds] runs out of `canary` + `control`, all equally likely."""
    n, drawn = canary + control, np.asarray(slow, np.int64)[:, None]
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    x = np.arange(canary + 1)[None, :]
    possible = (x <= drawn) & (drawn - x <= control)
    left = np.clip(drawn - x, 0, control)
    chosen = _log_choose(log_factorial, canary, x) + _log_choose(log_factorial, control, left)
    weights = np.where(possible, chosen - _log_choose(log_factorial, n, drawn), -np.inf)
    return log_sum_exp(weights[:, None, :] + x[None] * np.log(ratios)[None, :, None])


def _log_choose(log_factorial: Floats, n: int, k: NDArray[np.int64]) -> Floats:
    return np.asarray(log_factorial[n] - log_factorial[k] - log_factorial[n - k])


def log_e_of(tally: Tally, ratios: Floats, since: Tally | None = None) -> Floats:
    """Log e-value [kinds] of equal stakes on `ratios`, counted from `since` on."""
    canary = np.array([each[1] for each in tally.events], np.float64)
    costs = np.array(tally.costs)
    if since is not None:
        canary = canary - np.array([each[1] for each in since.events])
        costs = costs - np.array(since.costs)
    return log_mean_exp(canary[:, None] * np.log(ratios) - costs)


def _pair(values: Sequence[int] | NDArray[np.int64]) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def _pairs(values: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    return tuple(_pair(each) for each in values)
