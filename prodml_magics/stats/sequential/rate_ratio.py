"""Does the canary meet an event more often than the control? Evidence from the arm of each event, whatever the base rate does.

Given that an event happens in a step that sends a share p to the canary, it is the canary's with probability
θ(ρ) = pρ / (pρ + 1 − p), where ρ is the ratio of the two rates. The base rate drops out, so it may drift, swing or rise with the
share. ρ is common to all steps: evidence carries over a change of the share, and counts are never pooled over steps.

Lindon & Malek, Anytime-valid inference for multinomial count data, NeurIPS 2022 (arXiv 2011.03567);
Lindon, Sanden & Shirikian, Rapid regression detection in software deployments, KDD 2022 (arXiv 2205.14762).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prodml_magics.stats.sequential.mixture import log_mean_exp

__all__ = ["FEWER", "MORE", "log_e_value", "log_likelihood", "within"]

Floats = NDArray[np.float64]

MORE: Floats = np.geomspace(1.1, 10.0, 24)
"""Ratios that are bet on against "not more often", as multiples of the null's ratio."""

FEWER: Floats = 1.0 / MORE
"""Ratios that are bet on against "not less often", as multiples of the null's ratio."""


def within(margin: float) -> Floats:
    """Ratios [12] that are bet on against "more often by `margin` or worse" (0.2: 20 %): about as often as the control."""
    return np.geomspace(0.8, min(1.0 + margin / 2, 1.2), 12)


def log_likelihood(canary: ArrayLike, events: ArrayLike, shares: ArrayLike, ratios: ArrayLike) -> Floats:
    """K log ρ − Σ N_s log(p_s ρ + 1 − p_s) for each ratio: the log likelihood up to a term without ρ, [..., ratios].

    `canary` [...] counts the canary's events, `events` [..., steps] those of both arms, `shares` [steps] are the probabilities with
    which the canary was chosen: those of the randomisation, never realised shares.
    """
    r, p = (np.asarray(each, np.float64) for each in (ratios, shares))
    of_canary, of_event = _per_event(p.tobytes(), r.tobytes())
    return np.asarray(canary, np.float64)[..., None] * of_canary - np.asarray(events, np.float64) @ of_event


@lru_cache(maxsize=256)
def _per_event(shares: bytes, ratios: bytes) -> tuple[Floats, Floats]:
    """log ρ [ratios] and log(pρ + 1 − p) [steps, ratios], kept, since every look asks for the same."""
    r, p = np.frombuffer(ratios), np.frombuffer(shares)[:, None]
    return np.log(r), np.log(p * r + 1.0 - p)


def log_e_value(canary: ArrayLike, events: ArrayLike, shares: ArrayLike, ratios: ArrayLike, null: float = 1.0) -> Floats:
    """Log e-value [...] of equal stakes on `ratios` against the ratio `null` and all that lie on its other side.

    An e-process in the events: at any stopping time its mean is at most 1 under the null, so it may be looked at after every event.

    >>> round(float(np.exp(log_e_value(8, [10], [0.5], MORE))), 1)
    4.9
    """
    bets = log_likelihood(canary, events, shares, ratios)
    return log_mean_exp(bets if null == 1.0 else bets - log_likelihood(canary, events, shares, [null]))  # at 1 it is 0
