"""Tails of Σ λ_j·χ²₁, the limit law of quadratic statistics."""

from __future__ import annotations

import math
import sys
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["ANDERSON_DARLING", "CRAMER_VON_MISES", "quadratic_form_tail"]

_TERMS = 400
_J = np.arange(1, _TERMS + 1)

CRAMER_VON_MISES = tuple((1 / (_J * math.pi) ** 2).tolist())
ANDERSON_DARLING = tuple((1 / (_J * (_J + 1.0))).tolist())

_REMAINDERS = {
    CRAMER_VON_MISES: 1 / 6 - sum(CRAMER_VON_MISES),
    ANDERSON_DARLING: 1.0 - sum(ANDERSON_DARLING),
}
"""What the terms that are left out amount to on average; their spread is negligible."""

_FAR = 1e-6


def quadratic_form_tail(x: float, weights: tuple[float, ...]) -> float:
    """P(Σ λ_j·Z_j² ≥ x) for independent standard normal Z and λ descending, to about 1e-8, or 3 % where it is below 1e-6.

    Imhof's inversion (1961, Biometrika 48, 419–426); beyond it the first weight alone, times the constant of Zolotarev 1961
    (Theory Probab. Appl. 6, 201–204). Never 0.
    """
    x -= _REMAINDERS.get(weights, 0.0)
    if not x > 0:
        return 1.0
    far = _first_term(x, weights)
    if far < _FAR:
        return max(far, sys.float_info.min)
    u, size, angle = _inversion(weights)
    inside = _simpson(np.sin(angle - x * u / 2) * size, u[1] - u[0])
    return min(1.0, max(0.5 + inside / math.pi, _FAR))


@lru_cache(maxsize=4)
def _inversion(weights: tuple[float, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Abscissae from 0, 1/(u·ρ(u)) and θ(u) without its part in x; the integrand is continued to its limit at 0."""
    u = np.linspace(1e-9, 1_000 / math.sqrt(weights[0]), 40_001)
    angle, log_size = np.zeros_like(u), np.log(u)
    for weight in weights:
        angle += np.arctan(weight * u) / 2
        log_size += np.log1p((weight * u) ** 2) / 4
    return u, np.exp(-log_size), angle


def _simpson(values: NDArray[np.float64], width: float) -> float:
    return float(width / 3 * (values[0] + values[-1] + 4 * values[1:-1:2].sum() + 2 * values[2:-1:2].sum()))


def _first_term(x: float, weights: tuple[float, ...]) -> float:
    constant = math.exp(-0.5 * sum(math.log1p(-weight / weights[0]) for weight in weights[1:]))
    return constant * math.erfc(math.sqrt(x / weights[0] / 2))
