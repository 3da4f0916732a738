"""Is a mean without bounds higher in one arm? A normal mixture over the difference of clipped values: valid asymptotically, not exactly.

Values are clipped at a limit that was frozen before, so that no single one decides; what is compared is then the clipped mean. Strata
(a share of the traffic, a size of run) are compared within themselves and put together with weights that depend on counts alone, so
that a level which rises with the share is no difference. Within a stratum the arms share one variance: with one of their own the
smaller arm, whose variance is small by chance when its mean is, would be called lower far too often.

Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, Time-uniform central limit theory, Annals of Statistics 2024 (arXiv 2103.06476).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["BURN_IN", "Difference", "Moments", "difference", "half_width", "log_higher"]

BURN_IN = 100
"""Values of the canary before which nothing is said."""

_LEAST = 700.0
_REACH = 0.1
"""Standard deviations that a difference is expected to have."""


class Moments(NamedTuple):
    """Size, mean and sum of squared deviations of values; they add up."""

    size: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, values: np.ndarray) -> Moments:
        """Of `values` [any].

        >>> Moments.of(np.array([1.0, 3.0]))
        Moments(size=2, mean=2.0, squares=2.0)
        """
        if not len(values):
            return cls()
        mean = float(values.mean())
        return cls(len(values), mean, float(((values - mean) ** 2).sum()))

    def plus(self, other: Moments) -> Moments:
        """Of both together (Chan, Golub & LeVeque's merge)."""
        if not other.size or not self.size:
            return self if not other.size else other
        size, apart = self.size + other.size, other.mean - self.mean
        squares = self.squares + other.squares + apart**2 * self.size * other.size / size
        return Moments(size, self.mean + apart * other.size / size, squares)


class Difference(NamedTuple):
    """Canary minus control."""

    mean: float
    variance: float
    """Of `mean`; 0 where nothing is known yet."""
    reach: float
    """In the unit of the values, what the mixture spreads over."""


def difference(strata: Sequence[tuple[Moments, Moments]]) -> Difference:
    """Of (control, canary) in each stratum; one without both arms, or of two values, says nothing."""
    known = [(a, b) for a, b in strata if a.size and b.size and a.size + b.size > 2]
    if sum(b.size for _, b in known) < BURN_IN:
        return Difference(0.0, 0.0, 0.0)
    weights = np.array([a.size * b.size / (a.size + b.size) for a, b in known])
    weights = weights / weights.sum()
    apart = np.array([b.mean - a.mean for a, b in known])
    spread = np.array([(a.squares + b.squares) / (a.size + b.size - 2) for a, b in known])
    variances = spread * np.array([1 / a.size + 1 / b.size for a, b in known])
    return Difference(float(weights @ apart), float(weights**2 @ variances), _REACH * math.sqrt(float(weights @ spread)))


def log_higher(found: Difference) -> float:
    """Log e-value, asymptotically, against "not higher": a half-normal mixture of means of the scale `found.reach`.

    Equals log of the integral of exp(μd/v − μ²/2v) over μ ~ |N(0, reach²)|.
    """
    d, v, t = found.mean, found.variance, found.reach**2
    if v <= 0 or t <= 0:
        return 0.0
    above = math.erfc(-d * found.reach / math.sqrt(2 * v * (v + t)))  # twice the probability of a positive μ
    if above <= 0:  # so far below that nothing of the stake is left
        return -_LEAST
    return max(0.5 * math.log(v / (v + t)) + d * d * t / (2 * v * (v + t)) + math.log(above), -_LEAST)


def half_width(found: Difference, alpha: float) -> float:
    """Of the two-sided confidence sequence around `found.mean`; inf before there is one."""
    v, t = found.variance, found.reach**2
    if v <= 0 or t <= 0:
        return math.inf
    return math.sqrt(2 * v * (v + t) / t * (math.log(1 / alpha) + 0.5 * math.log((v + t) / v)))
