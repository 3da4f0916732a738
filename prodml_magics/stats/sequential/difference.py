"""Is the canary's event rate higher than the control's by less than a margin? Evidence even where nothing ever fails.

Per observation e = f(y | a_arm) / f(y | s_arm), where (a0, a1) is a guess and (s0, s1 = s0 + δ) the member of the null nearest to it:
the reverse information projection argmin p KL(a1‖s1) + (1 − p) KL(a0‖s0). Its mean is at most 1 under every null.

Turner, Ly & Grünwald, Generic e-variables for exact sequential k-sample tests, JSPI 230 (2024) 106116 (arXiv 2106.02693).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["HARM", "NO_WORSE", "boundary", "guesses", "log_increments"]

Floats = NDArray[np.float64]

NO_WORSE: tuple[float, ...] = (-0.5, -0.2, 0.0, 0.2, 0.4)
"""Differences that are bet on against "higher by δ or more", in units of δ."""

HARM: tuple[float, ...] = (1.2, 1.5, 2.0, 3.0, 4.0)
"""Differences that are bet on against "higher by δ or less", in units of δ."""

_LEAST = 1e-9
_HALVINGS = 45


def guesses(control: ArrayLike, margin: float, units: Sequence[float]) -> Floats:
    """Guessed canary rates [..., units] for a guessed control rate [...]; a tenth of the control's rate is the least."""
    a0 = np.asarray(control, np.float64)[..., None]
    return np.clip(a0 + margin * np.asarray(units), np.maximum(a0 / 10, _LEAST), 1 - _LEAST)


def boundary(control: ArrayLike, canary: ArrayLike, share: ArrayLike, margin: float) -> Floats:
    """The control rate s0 of the null (s0, s0 + `margin`) that is nearest to the guess (`control`, `canary`), by halving.

    The derivative of the projected distance, p (s0 + δ − a1)/((s0 + δ)(1 − s0 − δ)) + (1 − p)(s0 − a0)/(s0 (1 − s0)), crosses 0
    between a0 and a1 − δ.
    """
    a0, a1, p = np.broadcast_arrays(*(np.asarray(each, np.float64) for each in (control, canary, share)))
    low = np.clip(np.minimum(a0, a1 - margin), _LEAST, 1 - margin - _LEAST)
    high = np.clip(np.maximum(a0, a1 - margin), _LEAST, 1 - margin - _LEAST)
    for _ in range(_HALVINGS):
        t = (low + high) / 2
        slope = p * (t + margin - a1) / ((t + margin) * (1 - t - margin)) + (1 - p) * (t - a0) / (t * (1 - t))
        low, high = np.where(slope < 0, t, low), np.where(slope < 0, high, t)
    return np.asarray((low + high) / 2)


def log_increments(
    events: ArrayLike, rows: ArrayLike, share: float, control: ArrayLike, margin: float, units: Sequence[float]
) -> Floats:
    """What a batch adds to the log e-value of each guess, [..., units].

    `events` and `rows` are [..., 2], control first. `control` [...] is the guessed control rate: any value known before the batch,
    such as the rate so far. The mean of exp(sums) over `units` is the e-value.
    """
    a0 = np.clip(np.asarray(control, np.float64), _LEAST, 1 - margin - 2 * _LEAST)
    a1 = guesses(a0, margin, units)
    s0 = boundary(a0[..., None], a1, share, margin)
    failed, seen = (np.asarray(each, np.float64)[..., None, :] for each in (events, rows))
    guess = np.stack([np.broadcast_to(a0[..., None], a1.shape), a1], axis=-1)
    null = np.stack([s0, s0 + margin], axis=-1)
    gains = failed * np.log(guess / null) + (seen - failed) * np.log((1 - guess) / (1 - null))
    return np.asarray(gains.sum(axis=-1))
