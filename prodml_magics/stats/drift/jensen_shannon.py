"""Jensen–Shannon: a bounded, symmetric distance between two distributions over the same bins."""

from __future__ import annotations

from typing import Any

from prodml_magics.stats.drift.shapes import Array, Float, Int

__all__ = ["jensen_shannon"]


def jensen_shannon(reference: Int[Array, "... bins"], current: Int[Array, "... bins"]) -> Float[Array, " ..."]:
    """Distance in [0, 1], base 2, over the last axis of two count arrays [..., bins]; numpy or JAX arrays in, the same out.

    The square root of the divergence, hence a metric (Endres & Schindelin 2003, IEEE Trans. Inf. Theory 49, 1858–1860).
    Empty bins need no smoothing. Equals ``scipy.spatial.distance.jensenshannon(p, q, base=2)``. Needs a row on each side.

    >>> import numpy as np
    >>> float(jensen_shannon(np.array([7, 0]), np.array([0, 3])))
    1.0
    """
    xp = reference.__array_namespace__()
    p = reference / reference.sum(axis=-1, keepdims=True)
    q = current / current.sum(axis=-1, keepdims=True)
    middle = (p + q) / 2
    divergence = xp.sum(_entropy_terms(p, middle, xp) + _entropy_terms(q, middle, xp), axis=-1) / 2
    return xp.sqrt(xp.clip(divergence, 0.0, 1.0))


def _entropy_terms(p: Any, middle: Any, xp: Any) -> Any:
    used = p > 0
    return p * xp.log2(xp.where(used, p, 1.0) / xp.where(used, middle, 1.0))
