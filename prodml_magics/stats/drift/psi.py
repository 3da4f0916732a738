"""Population stability index: the symmetrised divergence that credit risk made a habit of."""

from __future__ import annotations

from prodml_magics.stats.drift.shapes import Array, Float, Int

__all__ = ["psi", "smoothed"]


def psi(reference: Int[Array, "... bins"], current: Int[Array, "... bins"]) -> Float[Array, " ..."]:
    """Σ (q − p)·ln(q/p) ≥ 0 over the last axis of two count arrays [..., bins]; numpy or JAX arrays in, the same out.

    Shares are smoothed by adding a half to every bin that holds a row of either side, so that an empty one does not dominate.
    For numeric columns the bins are the reference's deciles (Siddiqi 2006, Credit Risk Scorecards, ch. 11); a value that holds more rows
    than one of them has a bin of its own. Without drift its mean is about (1/n + 1/m)·(bins − 1) (Yurdakul 2018), so the customary 0.1 and
    0.25 mean little on small windows.

    >>> import numpy as np
    >>> round(float(psi(np.array([50, 50]), np.array([80, 20]))), 2)
    0.41
    """
    xp = reference.__array_namespace__()
    p, q = smoothed(reference, current)
    return xp.sum((q - p) * (xp.log(q) - xp.log(p)), axis=-1)


def smoothed(
    reference: Int[Array, "... bins"], current: Int[Array, "... bins"]
) -> tuple[Float[Array, "... bins"], Float[Array, "... bins"]]:
    """Shares of both sides with a half added to every bin that holds a row of either; 1 in the others, whose logarithm is 0."""
    xp = reference.__array_namespace__()
    used = (reference + current) > 0
    halves = 0.5 * used.sum(axis=-1, keepdims=True)
    p, q = ((counts + 0.5) / (counts.sum(axis=-1, keepdims=True) + halves) for counts in (reference, current))
    return xp.where(used, p, 1.0), xp.where(used, q, 1.0)
