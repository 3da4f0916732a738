"""Harm that begins in the middle: half of the stake from the start, the rest on ten later beginnings.

A plain e-process has to win back what it lost while all was well. Here E = Σ v_k E⁽ᵏ⁾, where E⁽ᵏ⁾ counts only from beginning k on and
is 1 before. A mixture of e-processes whose beginnings do not look ahead is an e-process.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["BEGINNINGS", "WEIGHTS", "beginnings_due", "log_over_onsets"]

BEGINNINGS: tuple[int, ...] = tuple(250 * 2**k for k in range(10))
"""Later beginnings, in requests that the canary has answered so far: doubling, so that no horizon has to be known."""

WEIGHTS: NDArray[np.float64] = np.array([0.5, *(0.5 / len(BEGINNINGS) for _ in BEGINNINGS)])
"""Stakes on the start and on each later beginning; they sum to 1."""


_LOGS = np.log(WEIGHTS)
with np.errstate(divide="ignore"):
    _UNSPENT = np.log(np.append(np.cumsum(WEIGHTS[::-1])[::-1], 0.0))
"""Log stake on the beginnings from the k-th on."""


def beginnings_due(canary_requests: int) -> int:
    """How many later beginnings lie at or before this many canary requests."""
    return sum(canary_requests >= each for each in BEGINNINGS)


def log_over_onsets(log_e: ArrayLike) -> NDArray[np.float64]:
    """Log e-value [...] from those of the start and of each beginning so far, [..., 1 + beginnings]; the unspent stake counts 1."""
    each = np.asarray(log_e, np.float64)
    begun = each.shape[-1]
    found = np.logaddexp.reduce(each + _LOGS[:begun], axis=-1)
    return np.asarray(np.logaddexp(found, _UNSPENT[begun]))
