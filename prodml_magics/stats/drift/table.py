"""Values to equal bins by arithmetic alone, which keeps their order: what sorting would tell costs a fraction of a sort.

A bin's index is a monotone function of the value (rounding is monotone), so that values of a lower bin are smaller, and only those
of one bin need be compared with what lies in it. NumPy's sort takes 3 to 30 ns a value, depending on the processor (those that are
slow at storing a compressed AVX-512 register take longest); a bin takes less than 1 ns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.scratch import Scratch

__all__ = ["BINS", "Room", "Table", "centred", "inner_range", "places", "places_of", "room_for", "table_between", "table_over"]

BINS = 8_192
"""Between the ends; they, their counts and a chunk of values fit a core's cache."""


class Table(NamedTuple):
    """Bins of t = value − `centre`, computed in the dtype of these: bin round(t · `slope` + `start`).

    Bin 0 holds what lies below the low end, and the last, `BINS` + 1, what lies beyond the other; both may hold values at the ends.
    """

    centre: Any
    slope: Any
    start: Any

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.slope.dtype
        return dtype


_MOST_OFF = 64
"""Times the bins that the centre may lie away from them: from farther, t would not tell neighbouring values apart."""


def table_between(low: float, high: float, centre: float, of: np.dtype[Any]) -> Table | None:
    """Bins for values of a dtype; None where the ends are too close, too far apart or too far from the centre.

    Integers are counted as float64, which keeps their order.
    """
    dtype = np.dtype(np.float32) if of == np.float32 else np.dtype(np.float64)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        slope = BINS / (dtype.type(high) - dtype.type(low))
        start = 1 - (dtype.type(low) - dtype.type(centre)) * slope
    table = Table(dtype.type(centre), dtype.type(slope), dtype.type(start))
    usable = np.isfinite(np.array(table)).all() and 0 < slope < np.finfo(dtype).max and abs(start) < _MOST_OFF * BINS
    return table if usable else None


def table_over(edges: NDArray[Any], centre: float) -> Table | None:
    """Bins over little more than the inner ones of sorted edges."""
    return table_between(*inner_range(edges), centre, edges.dtype)


def inner_range(edges: NDArray[Any]) -> tuple[float, float]:
    """Little more than what the inner ones of sorted edges span: the outermost rows of a long tail would leave few bins for all others."""
    skipped = len(edges) // 100
    low, high = float(edges[skipped]), float(edges[-1 - skipped])
    wider = (high - low) / 6
    return max(low - wider, float(edges[0])), min(high + wider, float(edges[-1]))


_WHOLE: dict[Any, tuple[np.dtype[Any], float]] = {
    np.dtype(np.float32): (np.dtype(np.int32), 2.0**23),
    np.dtype(np.float64): (np.dtype(np.int64), 2.0**52),
}
"""Per float the integer of its size, and the number from which on it holds whole ones alone, in its lowest bits."""


class Room(NamedTuple):
    """Room for as many values."""

    off: NDArray[Any]
    places: NDArray[np.intp]


def room_for(dtype: np.dtype[Any], size: int, scratch: Scratch) -> Room:
    return Room(scratch.array("off", size, dtype), scratch.array("places", size, np.intp))


def centred(table: Table, values: NDArray[Any], room: Room) -> NDArray[Any]:
    """How far every value lies from the centre, in `room` until that is used again."""
    found: NDArray[Any] = np.subtract(values, table.centre, out=room.off[: len(values)])
    return found


def places(table: Table, off: NDArray[Any], room: Room) -> NDArray[np.intp]:
    """The bin of every value from how far it lies from the centre, which is lost; in `room` until that is used again.

    Added to a float that leaves no bits for a fraction, a number is rounded to whole ones, which then stand in the lowest bits. Read as
    integers such floats keep their order with smaller and larger ones, infinite ones and those below zero, so that one pass cuts all.
    NaN lies in an outer bin.
    """
    integer, whole_from = _WHOLE[off.dtype]
    off *= table.slope
    off += off.dtype.type(whole_from) + table.start
    bits: NDArray[Any] = off.view(integer)
    first = np.array(whole_from, off.dtype).view(integer)[()]
    np.clip(bits, first, first + integer.type(BINS + 1), out=bits)
    bits -= first
    if integer == np.intp:
        return bits
    found = room.places[: len(off)]
    np.copyto(found, bits)
    return found


def places_of(table: Table, values: NDArray[Any]) -> NDArray[np.intp]:
    """The bin of every value, of few of them."""
    room = room_for(table.dtype, len(values), Scratch())
    with np.errstate(over="ignore"):
        return places(table, centred(table, values, room), room)
