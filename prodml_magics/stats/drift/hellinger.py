"""Hellinger: a bounded metric between two distributions over the same bins."""

from __future__ import annotations

from prodml_magics.stats.drift.shapes import Array, Float, Int

__all__ = ["hellinger"]


def hellinger(reference: Int[Array, "... bins"], current: Int[Array, "... bins"]) -> Float[Array, " ..."]:
    """√(½ Σ (√p − √q)²) in [0, 1] over the last axis of two count arrays [..., bins]; 1 when no bin is shared.

    Hellinger 1909, J. Reine Angew. Math. 136, 210–271. Empty bins need no smoothing; needs a row on each side.

    >>> import numpy as np
    >>> float(hellinger(np.array([7, 0]), np.array([0, 3])))
    1.0
    """
    xp = reference.__array_namespace__()
    p = reference / reference.sum(axis=-1, keepdims=True)
    q = current / current.sum(axis=-1, keepdims=True)
    return xp.sqrt(xp.clip(((xp.sqrt(p) - xp.sqrt(q)) ** 2).sum(axis=-1) / 2, 0.0, 1.0))
