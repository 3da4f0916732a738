"""Anderson–Darling: Cramér–von Mises with the tails weighed up."""

from __future__ import annotations

from typing import Any

import numpy as np

from prodml_magics.stats.drift.shapes import Array, Float
from prodml_magics.stats.drift.support import Support, distributions
from prodml_magics.stats.quadratic_forms import ANDERSON_DARLING, quadratic_form_tail

__all__ = ["anderson_darling", "anderson_darling_effect", "anderson_darling_p_value"]


def anderson_darling(support: Support) -> Float[Array, " ..."]:
    """A² = nm/(n+m)² · Σ (F − G)²/(H(1 − H)) over the pooled rows, H their distribution function; those at the top count 0.

    Equals the A²kN of Scholz & Stephens 1987 (J. Am. Stat. Assoc. 82, eq. 6) for two samples, which
    ``scipy.stats.anderson_ksamp(variant="right")`` standardises.
    """
    before, now = distributions(support)
    n, m = support.before.sum(axis=-1, keepdims=True), support.now.sum(axis=-1, keepdims=True)
    both = (n * before + m * now) / (n + m)
    return (_weighed((before - now) ** 2, both) * (support.before + support.now)).sum(axis=-1) * _ratio(n, m)


def _ratio(n: Any, m: Any) -> Any:
    return (n * m / (n + m) ** 2)[..., 0]


def anderson_darling_effect(support: Support) -> Float[Array, " ..."]:
    """√∫(F − G)²/(H(1 − H)) dH with H = (F + G)/2, so that it does not depend on the sizes of the samples; at most 1.25."""
    before, now = distributions(support)
    n, m = support.before.sum(axis=-1, keepdims=True), support.now.sum(axis=-1, keepdims=True)
    weight = (support.before / n + support.now / m) / 2
    return np.sqrt((_weighed((before - now) ** 2, (before + now) / 2) * weight).sum(axis=-1))


def _weighed(squares: Any, both: Any) -> Any:
    spread = both * (1 - both)
    inside = spread > 1e-15
    return np.where(inside, squares / np.where(inside, spread, 1), 0.0)


def anderson_darling_p_value(statistic: float) -> float:
    """P(A² ≥ statistic) by the limit law Σ χ²/(j(j+1)) (Anderson & Darling 1952, Ann. Math. Stat. 23, 193–212); never 0."""
    return quadratic_form_tail(statistic, ANDERSON_DARLING)
