"""L∞: the largest change of the share of any one bin or category."""

from __future__ import annotations

from prodml_magics.stats.drift.shapes import Array, Float, Int

__all__ = ["l_infinity"]


def l_infinity(reference: Int[Array, "... bins"], current: Int[Array, "... bins"]) -> Float[Array, " ..."]:
    """max |p − q| in [0, 1] over the last axis of two count arrays [..., bins]; needs a row on each side.

    >>> import numpy as np
    >>> float(l_infinity(np.array([50, 50, 0]), np.array([25, 50, 25])))
    0.25
    """
    p = reference / reference.sum(axis=-1, keepdims=True)
    q = current / current.sum(axis=-1, keepdims=True)
    return abs(p - q).max(axis=-1)
