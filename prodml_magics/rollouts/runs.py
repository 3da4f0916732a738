"""Latency evidence: model runs beyond a limit, by arm. The run is the unit, since all requests of one run are as slow as it.

A run's time is the version's own: what a request waits for others is not in it. Runs are put into blocks that hold some of each arm.
Within a block, and versions being alike, the slow runs are any of its runs with the same chance. Against that an odds ratio ρ gives
log e = k log ρ − log E[ρ^x], where k of the N slow runs are the canary's and x is hypergeometric: Fisher's exact test as an e-value,
whose mean is 1 whatever the base rate of the block is. Blocks close by how many runs they hold, never by what those showed.

Turner, Ly & Grünwald, JSPI 230 (2024) 106116, treat such blocks; conditioning on N takes the place of their guessed base rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from prodml_magics.stats.sequential.kept import kept_for
from prodml_magics.stats.sequential.mixture import log_mean_exp, log_sum_exp

__all__ = ["Tally", "add_runs", "joined", "log_e_since", "log_expected", "parted", "spent_at"]

Floats = NDArray[np.float64]
_LARGEST = 1000
"""Runs of a block at most, so that the sum over x stays cheap."""


class Tally(msgspec.Struct, frozen=True):
    """Slow runs of several kinds (thresholds, or a margin): what `log_e_since` needs, and the block that is still open."""

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


def joined(tallies: Sequence[Tally]) -> Tally:
    """Tallies of the same runs as one of all their kinds, to which runs are added at once; `parted` takes it apart."""
    first = tallies[0]
    return Tally(
        tuple(kind for each in tallies for kind in each.events),
        tuple(kind for each in tallies for kind in each.costs),
        first.open_runs,
        tuple(kind for each in tallies for kind in each.open_events),
    )


def parted(tally: Tally) -> list[Tally]:
    """One tally for each kind."""
    kinds = zip(tally.events, tally.costs, tally.open_events, strict=True)
    return [Tally((events,), (costs,), tally.open_runs, (waiting,)) for events, costs, waiting in kinds]


def add_runs(tally: Tally, canary: NDArray[np.bool_], slow: NDArray[np.bool_], ratios: Floats) -> Tally:
    """`tally` with runs in it: `canary` [runs] says whose, `slow` [runs, kinds] beyond which limits."""
    for start in range(0, len(canary), _LARGEST):
        tally = _add_block(tally, canary[start : start + _LARGEST], slow[start : start + _LARGEST], ratios)
    return tally


def _add_block(tally: Tally, canary: NDArray[np.bool_], slow: NDArray[np.bool_], ratios: Floats) -> Tally:
    mine = int(np.count_nonzero(canary))
    runs = (tally.open_runs[0] + len(canary) - mine, tally.open_runs[1] + mine)
    one_each = slow.astype(np.float64)  # a product of floats is quicker than a sum of truths, and as exact
    theirs = canary.astype(np.float64) @ one_each
    events = np.array([one_each.sum(axis=0) - theirs, theirs]).T.astype(np.int64) + np.array(tally.open_events)
    if not all(runs):
        return Tally(tally.events, tally.costs, runs, _pairs(events))
    expected = log_expected(runs[1], runs[0], events.sum(axis=1), ratios)
    costs = tuple(map(tuple, (_known(tally)[1] + expected).tolist()))
    return Tally(_pairs(np.array(tally.events) + events), costs, (0, 0), tuple((0, 0) for _ in events))


def log_expected(canary: int, control: int, slow: ArrayLike, ratios: Floats) -> Floats:
    """log E[ρ^x] [kinds, bets], x the canary's part of `slow` [kinds] runs out of `canary` + `control`, all equally likely."""
    drawn = np.asarray(slow, np.int64)[:, None]
    most = min(canary, int(drawn.max(initial=0)))
    x = np.arange(most + 1)
    f, every = _log_factorials(max(canary + control, _LARGEST).bit_length()), canary + control
    rest = drawn - x
    inside = np.minimum(np.maximum(rest, 0), control)
    of_canary = f[canary] - f[x] - f[canary - x]
    of_control = np.where(inside == rest, f[control] - f[inside] - f[control - inside], -np.inf)
    chosen = of_canary + of_control - (f[every] - f[drawn] - f[every - drawn])
    if most <= _PLAIN:  # no power of a bet overflows
        return np.asarray(np.log(np.exp(chosen) @ _powers(tuple(ratios.tolist()))[: most + 1]))
    return log_sum_exp(chosen[:, None, :] + x * np.log(ratios)[:, None])


@lru_cache(maxsize=32)
def _log_factorials(bits: int) -> Floats:
    """log n! for n below 2^bits: a block that waits for the other arm may grow large."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, 2**bits)))])


_PLAIN = 250


@lru_cache(maxsize=8)
def _powers(ratios: tuple[float, ...]) -> Floats:
    """ρ^x [x, bets] for x up to `_PLAIN`."""
    return np.asarray(np.array(ratios) ** np.arange(_PLAIN + 1)[:, None])


def log_e_since(tally: Tally, ratios: Floats, begun: tuple[Floats, Floats] | None = None) -> Floats:
    """Log e-values [1 + beginnings, kinds] of equal stakes on `ratios`: from the start on, and from each of `begun` on (`spent_at`)."""
    events, spent = _known(tally)
    canary, costs = events[None], spent[None]
    if begun is not None:
        canary, costs = np.concatenate([canary, events - begun[0]]), np.concatenate([costs, spent - begun[1]])
    return log_mean_exp(canary[:, :, None] * np.log(ratios) - costs)


def spent_at(begun: Sequence[Tally | None], kinds: int, bets: int) -> tuple[Floats, Floats]:
    """The canary's slow runs [beginnings, kinds] and the costs [beginnings, kinds, bets]; nothing where there was no tally yet."""
    nothing = Tally.empty(kinds, bets)
    found = [_known(each or nothing) for each in begun]
    return np.stack([events for events, _ in found]), np.stack([costs for _, costs in found])


@kept_for
def _known(tally: Tally) -> tuple[Floats, Floats]:
    """The canary's slow runs [kinds] and the costs [kinds, bets] of a tally that is asked for at several looks."""
    return np.array(tally.events, np.float64)[:, 1], np.array(tally.costs)


def _pairs(values: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    return tuple((control, canary) for control, canary in values.tolist())
