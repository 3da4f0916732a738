"""Averaged Shiryaev–Roberts e-detectors: alarms about anything that begins at an unknown moment, for watching for ever.

Under no change `scores` are standard normal. Each is bet upon in eight ways, six on a shift and two on a change of scale; M ← (1 + M)·e
adds, with every score, the bet that the change begins with it (Shiryaev 1963; Roberts 1966). An average of such M over bets and
features is an e-detector, so that the average number of scores until it reaches 1/alpha is at least 1/alpha (Shin, Ramdas & Rinaldo
2023, NEJSDS, arXiv:2203.03532, theorem 2.4).
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = ["BETS", "CLIP", "advance", "bets", "conformal_scores", "deflation"]

_Floats = NDArray[np.float64]

_SHIFTS = np.array([-2.0, -1.0, -0.5, 0.5, 1.0, 2.0])
_SCALES = np.array([0.2, -0.5])
BETS = len(_SHIFTS) + len(_SCALES)
CLIP = 3.0
"""Scores are cut here, so that no single hour decides."""

_CAUTION = 3.0
"""Standard errors by which the reference may be off; less lets its own error raise alarms (measured in `tests/benchmarks/drift.py`)."""

_NORMAL = NormalDist()


def bets(scores: _Floats) -> _Floats:
    """e-values [..., 8] of scores [...] in [−3, 3]: mean one where the scores are standard normal and cut at ±3."""
    z = scores[..., None]
    shifts = np.exp(_SHIFTS * z - _SHIFTS**2 / 2)
    scales = np.sqrt(1 - 2 * _SCALES) * np.exp(_SCALES * z**2)
    return np.concatenate([shifts, scales], axis=-1) / _MEANS


def _mean_of_shift(shift: float) -> float:
    tails = _NORMAL.cdf(-CLIP) * (math.exp(shift * CLIP) + math.exp(-shift * CLIP)) * math.exp(-(shift**2) / 2)
    return _NORMAL.cdf(CLIP - shift) - _NORMAL.cdf(-CLIP - shift) + tails


def _mean_of_scale(scale: float) -> float:
    root = math.sqrt(1 - 2 * scale)
    return 2 * _NORMAL.cdf(CLIP * root) - 1 + root * math.exp(scale * CLIP**2) * 2 * _NORMAL.cdf(-CLIP)


_MEANS = np.array([*map(_mean_of_shift, _SHIFTS.tolist()), *map(_mean_of_scale, _SCALES.tolist())])
_VARIANCES = np.concatenate([np.exp(_SHIFTS**2) - 1, (1 - 2 * _SCALES) / np.sqrt(1 - 4 * _SCALES) - 1])


def deflation(references: _Floats) -> _Floats:
    """What the e-values [..., 8] are divided by where scores are ranks among `references` values [...].

    The mean of a bet over a reference of n values differs from one by about √(variance/n); three times that is taken off.
    """
    return 1 + _CAUTION * np.sqrt(_VARIANCES / references[..., None])


def advance(state: _Floats, values: _Floats) -> _Floats:
    """The detectors [..., 8] after one more score, from their state before it and its (deflated) e-values."""
    return (1 + state) * values


def conformal_scores(reference: _Floats, values: _Floats, uniforms: _Floats) -> _Floats:
    """Standard normal scores [n] of `values` [n] by their ranks among the sorted `reference` [r]; ties are parted by `uniforms` [n].

    Exactly so where reference and value are exchangeable (Vovk, Gammerman & Shafer 2005, ch. 8); NaN stays NaN.
    """
    below, upto = (np.searchsorted(reference, values, side) for side in ("left", "right"))
    ranks = (below + uniforms * (upto - below + 1)) / (len(reference) + 1)
    found = np.clip(_quantile(ranks), -CLIP, CLIP)
    return np.where(np.isnan(values), np.nan, found)


def _quantile(shares: _Floats) -> _Floats:
    """Of the normal distribution."""
    return np.array([_NORMAL.inv_cdf(min(max(share, 1e-12), 1 - 1e-12)) for share in shares.tolist()])
