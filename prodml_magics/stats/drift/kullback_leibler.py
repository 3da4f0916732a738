"""Kullback–Leibler: the surprise at now for somebody who expects the reference."""

from __future__ import annotations

from prodml_magics.stats.drift.psi import smoothed
from prodml_magics.stats.drift.shapes import Array, Float, Int

__all__ = ["kullback_leibler"]


def kullback_leibler(reference: Int[Array, "... bins"], current: Int[Array, "... bins"]) -> Float[Array, " ..."]:
    """Σ q·ln(q/p) ≥ 0 in nats, q the shares of now, over the last axis of two count arrays [..., bins].

    Shares are smoothed as for `psi`; equals ``scipy.stats.entropy(q, p)`` of those (Kullback &
    Leibler 1951, Ann. Math. Stat. 22, 79–86).
    """
    xp = reference.__array_namespace__()
    p, q = smoothed(reference, current)
    return (q * (xp.log(q) - xp.log(p))).sum(axis=-1)
