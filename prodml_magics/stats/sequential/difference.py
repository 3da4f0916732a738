"""Is the canary's event rate higher than the control's by less than a margin? Evidence even where nothing ever fails.

Per observation e = f(y | a_arm) / f(y | s_arm), where (a0, a1) is a guess and (s0, s1 = s0 + δ) the member of the null nearest to it:
the reverse information projection argmin p KL(a1‖s1) + (1 − p) KL(a0‖s0). Its mean is at most 1 under every null.

Turner, Ly & Grünwald, Generic e-variables for exact sequential k-sample tests, JSPI 230 (2024) 106116 (arXiv 2106.02693).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["HARM", "NO_WORSE", "boundary", "guesses", "log_increment", "log_increments"]

Floats = NDArray[np.float64]

NO_WORSE: tuple[float, ...] = (-0.5, -0.2, 0.0, 0.2, 0.4)
"""Differences that are bet on against "higher by δ or more", in units of δ."""

HARM: tuple[float, ...] = (1.2, 1.5, 2.0, 3.0, 4.0)
"""Differences that are bet on against "higher by δ or less", in units of δ."""

_LEAST = 1e-9
_STEPS = 60
_CLOSE = 1e-15


def guesses(control: ArrayLike, margin: float, units: Sequence[float]) -> Floats:
    """Guessed canary rates [..., units] for a guessed control rate [...]; a tenth of the control's rate is the least."""
    a0 = np.asarray(control, np.float64)[..., None]
    return np.clip(a0 + margin * np.asarray(units), np.maximum(a0 / 10, _LEAST), 1 - _LEAST)


def boundary(control: ArrayLike, canary: ArrayLike, share: ArrayLike, margin: float) -> Floats:
    """The control rate s0 of the null (s0, s0 + `margin`) that is nearest to the guess (`control`, `canary`).

    The derivative of the projected distance, p (s0 + δ − a1)/((s0 + δ)(1 − s0 − δ)) + (1 − p)(s0 − a0)/(s0 (1 − s0)), crosses 0
    between a0 and a1 − δ, once. Its numerator is a cubic without poles: Newton's steps, and halving where one leaves the bracket.
    """
    a0, a1, p = np.broadcast_arrays(*(np.asarray(each, np.float64) for each in (control, canary, share)))
    low = np.clip(np.minimum(a0, a1 - margin), _LEAST, 1 - margin - _LEAST)
    high = np.clip(np.maximum(a0, a1 - margin), _LEAST, 1 - margin - _LEAST)
    t = (low + high) / 2
    for _ in range(_STEPS):
        u = t + margin
        own, other = t * (1 - t), u * (1 - u)
        value = p * (u - a1) * own + (1 - p) * (t - a0) * other
        low, high = np.where(value < 0, t, low), np.where(value < 0, high, t)
        slope = p * (own + (u - a1) * (1 - 2 * t)) + (1 - p) * (other + (t - a0) * (1 - 2 * u))
        with np.errstate(divide="ignore", invalid="ignore"):
            following = t - value / slope
        following = np.where((following >= low) & (following <= high), following, (low + high) / 2)
        if np.all(np.abs(following - t) <= _CLOSE * following):
            return np.asarray(following)
        t = following
    return np.asarray(t)


def log_increments(
    events: ArrayLike, rows: ArrayLike, share: float, control: ArrayLike, margin: float, units: Sequence[float]
) -> Floats:
    """What a batch adds to the log e-value of each guess, [..., units].

    `events` and `rows` are [..., 2], control first. `control` [...] is the guessed control rate: any value known before the batch,
    such as the rate so far. The mean of exp(sums) over `units` is the e-value.
    """
    failed, seen = (np.asarray(each, np.float64)[..., None, :] for each in (events, rows))
    stakes = _log_ratios(np.asarray(control, np.float64), share, margin, units)
    return np.asarray((failed * stakes[0] + (seen - failed) * stakes[1]).sum(axis=-1))


def log_increment(
    events: tuple[int, int], rows: tuple[int, int], share: float, control: float, margin: float, units: tuple[float, ...]
) -> list[float]:
    """`log_increments` of one batch, [units]: so few numbers that calls of NumPy would take longer than the sums."""
    failed, canary_failed = events
    fine, canary_fine = rows[0] - failed, rows[1] - canary_failed
    return [
        failed * event[0] + canary_failed * event[1] + fine * none[0] + canary_fine * none[1]
        for event, none in _stakes(control, share, margin, units)
    ]


@lru_cache(maxsize=1024)
def _stakes(control: float, share: float, margin: float, units: tuple[float, ...]) -> tuple[tuple[list[float], list[float]], ...]:
    """Of each guess, what an event and none add by arm; kept, since the same guess serves many batches."""
    return tuple(zip(*_log_ratios(np.asarray(control), share, margin, units).tolist(), strict=True))


def _log_ratios(control: Floats, share: float, margin: float, units: Sequence[float]) -> Floats:
    """log(guess/null) of an event, and of none, [2, ..., units, 2]; the last axis is the arm, control first."""
    a0 = np.clip(control, _LEAST, 1 - margin - 2 * _LEAST)
    a1 = guesses(a0, margin, units)
    s0 = boundary(a0[..., None], a1, share, margin)
    guess = np.stack([np.broadcast_to(a0[..., None], a1.shape), a1], axis=-1)
    null = np.stack([s0, s0 + margin], axis=-1)
    return np.stack([np.log(guess / null), np.log((1 - guess) / (1 - null))])
