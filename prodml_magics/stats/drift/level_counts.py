"""Counts of categories that add up: every one of the reference's, and new ones as far as they can be told apart."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.errors import InvalidInput
from prodml_magics.stats.drift.columns import Levels

__all__ = ["FURTHER", "MOST_NEW_LEVELS", "LevelCounts", "add_levels", "count_levels", "levels_of"]

MOST_NEW_LEVELS = 1_000
FURTHER = "(further new ones)"
"""Label of the new levels that were counted together."""


class LevelCounts(NamedTuple):
    """`rows` of which `missing`; int64 `counts` of the reference's levels in its order; `new` levels by name, and `further` rows.

    Of more than 1,000 new levels those with the smallest hashes are told apart. A level that is dropped from the sum of some parts
    is dropped from the sum of all, so that the order in which parts are added changes nothing.
    """

    rows: int
    missing: int
    counts: NDArray[np.int64]
    new: Mapping[str, int]
    further: int = 0


def count_levels(known: Sequence[str], found: Levels, most: int = MOST_NEW_LEVELS) -> LevelCounts:
    """Count what was found by the levels that are known."""
    now = dict(zip(found.levels, found.counts.tolist(), strict=True))
    counts = np.array([now.pop(level, 0) for level in known], dtype=np.int64)
    return _kept(LevelCounts(found.rows, found.rows - int(found.counts.sum()), counts, now), most)


def add_levels(one: LevelCounts, other: LevelCounts, most: int = MOST_NEW_LEVELS) -> LevelCounts:
    """The counts of both together, in any order and grouping the same."""
    if len(one.counts) != len(other.counts):
        raise InvalidInput("the levels were counted for different references; count both for one")
    new = dict(one.new)
    for level, count in other.new.items():
        new[level] = new.get(level, 0) + count
    counts = one.counts + other.counts
    return _kept(LevelCounts(one.rows + other.rows, one.missing + other.missing, counts, new, one.further + other.further), most)


def levels_of(known: Sequence[str], counted: LevelCounts) -> Levels:
    """The counts as `detect` reads a column, most frequent first."""
    found = dict(zip(known, counted.counts.tolist(), strict=True)) | dict(counted.new)
    if counted.further:
        found[FURTHER] = counted.further
    ordered = sorted(((level, count) for level, count in found.items() if count), key=lambda item: (-item[1], item[0]))
    return Levels(tuple(level for level, _ in ordered), np.array([count for _, count in ordered], np.int64), counted.rows)


def _kept(counted: LevelCounts, most: int) -> LevelCounts:
    if len(counted.new) <= most:
        return counted
    kept = heapq.nsmallest(most, counted.new, key=_order)
    new = {level: counted.new[level] for level in kept}
    return counted._replace(new=new, further=counted.further + sum(counted.new.values()) - sum(new.values()))


def _order(level: str) -> tuple[int, str]:
    return zlib.crc32(level.encode()), level
