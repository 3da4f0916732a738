"""Cramér–von Mises: the mean squared gap between two distribution functions, which sees small gaps over a wide range."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from prodml_magics.stats.drift.shapes import Array, Float
from prodml_magics.stats.drift.support import Support, distributions
from prodml_magics.stats.quadratic_forms import CRAMER_VON_MISES, quadratic_form_tail

__all__ = ["cramer_von_mises", "cramer_von_mises_p_value", "root_mean_squared_gap"]


def root_mean_squared_gap(support: Support) -> Float[Array, " ..."]:
    """√(3·∫(F − G)² dH) in [0, 1], with H = (F + G)/2, so that it does not depend on the sizes of the samples; 1 when apart."""
    before, now = distributions(support)
    weight = (_shares(support.before) + _shares(support.now)) / 2
    return np.sqrt(np.clip(3 * ((before - now) ** 2 * weight).sum(axis=-1), 0, 1))


def _shares(counts: Any) -> Any:
    return counts / counts.sum(axis=-1, keepdims=True)


def cramer_von_mises(support: Support) -> Float[Array, " ..."]:
    """T = nm/(n+m)² · Σ (F − G)² over the pooled rows (Anderson 1962, Ann. Math. Stat. 33, 1148–1159, eq. 2).

    Equals ``scipy.stats.cramervonmises_2samp(reference, current).statistic`` where no values are tied.
    """
    before, now = distributions(support)
    n, m = support.before.sum(axis=-1), support.now.sum(axis=-1)
    return n * m / (n + m) ** 2 * ((before - now) ** 2 * (support.before + support.now)).sum(axis=-1)


def cramer_von_mises_p_value(statistic: float, n: int, m: int) -> float:
    """P(T ≥ statistic) by the limit law, with mean and variance matched to n and m rows (Anderson 1962, eqs. 9 and 10).

    Equals ``cramervonmises_2samp(method="asymptotic").pvalue``; never 0.
    """
    total, product = n + m, n * m
    mean = (1 + 1 / total) / 6
    variance = (total + 1) * (4 * product * total - 3 * (n * n + m * m) - 2 * product) / (180 * total**2 * product)
    if variance <= 0:
        return 1.0
    return quadratic_form_tail(1 / 6 + (statistic - mean) / math.sqrt(45 * variance), CRAMER_VON_MISES)
