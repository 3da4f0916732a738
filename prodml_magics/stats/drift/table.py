"""Values to equal bins by arithmetic alone, which keeps their order: what sorting would tell costs a fraction of a sort.

A bin's index is a monotone function of the value (rounding is monotone), so that values of a lower bin are smaller, and only those
of one bin need be compared with what lies in it. NumPy's sort takes 3 to 30 ns a value, depending on the processor (those that are
slow at storing a compressed AVX-512 register take longest); a bin takes 1 ns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["BINS", "Scratch", "Table", "places", "scratch", "table_between"]

BINS = 8_192
"""Between the ends; they, their counts and a chunk of values fit a core's cache."""


class Table(NamedTuple):
    """Bin 0 holds what lies below `low`, and the last, `BINS` + 1, what lies beyond the other end; both may hold values at the ends."""

    low: Any
    scale: Any


def table_between(low: Any, high: Any) -> Table | None:
    """Bins between two floats of one dtype; None where they are too close or too far apart to be told apart."""
    if low.dtype.kind != "f":
        return None
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        scale = low.dtype.type(BINS) / (high - low)
    usable = (
        np.isfinite(low) and np.isfinite(high) and 0 < scale < np.finfo(low.dtype).max and high - low < np.finfo(low.dtype).max
    )
    return Table(low, scale) if usable else None


class Scratch(NamedTuple):
    """Room for as many values, used again and again: fresh memory costs as much as the arithmetic on it."""

    values: NDArray[Any]
    places: NDArray[np.intp]


def scratch(values: NDArray[Any]) -> Scratch:
    """Room for the bins of as many values as these."""
    return Scratch(np.empty(len(values), values.dtype), np.empty(len(values), np.intp))


def places(table: Table, values: NDArray[Any], room: Scratch | None = None) -> NDArray[np.intp]:
    """The bin of every value, of the table's dtype and without NaN; infinite ones lie in the outer bins.

    The result is in `room`, where that is given, until it is used again.
    """
    room = scratch(values) if room is None else room
    found, whole = room.values[: len(values)], room.places[: len(values)]
    with np.errstate(over="ignore"):
        np.subtract(values, table.low, out=found)
        found *= table.scale
    found += 1
    np.clip(found, 0, BINS + 1, out=found)
    np.copyto(whole, found, casting="unsafe")
    return whole
