"""Floats to numbers of equal steps: a product, two bounds and a cut, of which each keeps the order of values."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.stats.drift.scratch import Scratch
from prodml_magics.stats.drift.table import inner_range

__all__ = ["MOST", "Steps", "codes", "codes_of", "last_of_steps", "steps_over", "tally"]

MOST = 16_383
"""The outermost codes: twice as many and one are the most different values that Arrow counts by a table of them instead of a sort."""

_FARTHEST = 12_288
"""Steps that the inner edges may lie away from zero: beyond, the middle between them is subtracted from all values first."""


class Steps(NamedTuple):
    """The code of a value is trunc((value − `centre`) · `slope`), computed in the dtype of these, at most `MOST` away from zero.

    Being cut off towards zero, code zero stands for a step twice as wide as the others. The outermost ones hold all that lies beyond.
    """

    centre: Any
    slope: Any

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.slope.dtype
        return dtype


def steps_over(edges: NDArray[Any], count: int) -> Steps | None:
    """So many steps over little more than the inner ones of sorted edges of floats, and beyond; None where they cannot be told apart."""
    low, high = inner_range(edges)
    dtype = edges.dtype.type
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        slope = dtype(count / (high - low))
        centre = dtype(0) if max(abs(low), abs(high)) * float(slope) <= _FARTHEST else dtype(low + (high - low) / 2)
    usable = np.isfinite([low, high, centre, slope]).all() and 0 < slope < np.finfo(dtype).max
    return Steps(centre, slope) if usable else None


def codes(steps: Steps, values: NDArray[Any], scratch: Scratch, out: NDArray[np.int16]) -> bool:
    """Put the code of every value into `out`; False, and nothing is there, where NaN is among the values."""
    off = scratch.array("off", len(values), steps.dtype)
    with np.errstate(over="ignore"):  # these lie beyond the outermost step
        if steps.centre:
            np.subtract(values, steps.centre, out=off)
            off *= steps.slope
        else:
            np.multiply(values, steps.slope, out=off)
    if len(off) and np.isnan(off.min()):
        return False
    np.clip(off, -MOST, MOST, out=off)
    np.copyto(out, off, casting="unsafe")
    return True


def tally(found: NDArray[np.int16]) -> NDArray[np.int64]:
    """How many there are of every code, int64 [2 · `MOST` + 1]: `numpy.bincount(found + MOST)`, which takes almost twice as long."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # By buffers: `pyarrow.array` and `to_numpy` would import pandas, which takes longer than all else.
    array = pa.Array.from_buffers(pa.int16(), len(found), [None, pa.py_buffer(np.ascontiguousarray(found))])
    values, rows = pc.mode(array, n=2 * MOST + 1).flatten()
    counts = np.zeros(2 * MOST + 1, np.int64)
    counts[_of_arrow(values, np.int16).astype(np.intp) + MOST] = _of_arrow(rows, np.int64)
    return counts


def _of_arrow(array: Any, dtype: Any) -> NDArray[Any]:
    """The numbers of an array without nulls, where they lie."""
    data = array.buffers()[1]
    return np.frombuffer(data, dtype, len(array), array.offset * np.dtype(dtype).itemsize) if len(array) else np.zeros(0, dtype)


def last_of_steps(steps: Steps, values: NDArray[Any]) -> NDArray[Any]:
    """Per float of the dtype of the steps the largest that has its code: as many turns as a float has bits, each halving what is left.

    Read as integers floats keep their order, those below zero turned round.
    """
    integer = np.dtype(f"i{steps.dtype.itemsize}")
    own = codes_of(steps, values)
    low, high = _ordered(values.view(integer)), np.full(len(values), np.array(np.inf, steps.dtype).view(integer))
    while (low + 1 < high).any():
        middle = (low & high) + ((low ^ high) >> 1)  # the sum of both might not fit
        inside = codes_of(steps, _ordered(middle).view(steps.dtype)) == own
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    found: NDArray[Any] = _ordered(low).view(steps.dtype)
    return found


def codes_of(steps: Steps, values: NDArray[Any]) -> NDArray[np.int16]:
    """The codes of few values, none of them NaN."""
    found = np.empty(len(values), np.int16)
    assert codes(steps, values, Scratch(), found)
    return found


def _ordered(bits: NDArray[Any]) -> NDArray[Any]:
    """Bits of floats to integers in the order of the floats, and back."""
    found: NDArray[Any] = np.where(bits < 0, bits ^ np.iinfo(bits.dtype).max, bits)
    return found
