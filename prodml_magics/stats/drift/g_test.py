"""G-test: the likelihood ratio of one distribution against two, for category counts."""

from __future__ import annotations

from typing import Any

from prodml_magics.stats.drift.shapes import Array, Float, Int

__all__ = ["g_test"]


def g_test(reference: Int[Array, "... levels"], current: Int[Array, "... levels"]) -> Float[Array, " ..."]:
    """2·Σ observed·ln(observed/expected) of the 2 × levels table over the last axis of two count arrays [..., levels].

    Equals ``scipy.stats.chi2_contingency([reference, current], correction=False, lambda_="log-likelihood").statistic``
    (Wilks 1938, Ann. Math. Stat. 9, 60–62). Empty cells count nothing.
    """
    xp = reference.__array_namespace__()
    n, m = reference.sum(axis=-1, keepdims=True), current.sum(axis=-1, keepdims=True)
    both = reference + current
    return 2 * (_terms(reference, both * (n / (n + m)), xp) + _terms(current, both * (m / (n + m)), xp)).sum(axis=-1)


def _terms(observed: Any, expected: Any, xp: Any) -> Any:
    used = observed > 0
    return xp.where(used, observed * xp.log(xp.where(used, observed, 1) / xp.where(used, expected, 1)), 0.0)
