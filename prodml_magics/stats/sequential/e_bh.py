"""Which of many e-values speak, with the expected share of false ones bounded under any dependence."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["e_benjamini_hochberg"]


def e_benjamini_hochberg(log_e: ArrayLike, alpha: float = 0.05) -> NDArray[np.bool_]:
    """The hypotheses [tests] that are rejected: the k largest, with k the most for which the k-th e-value is ≥ tests/(alpha k).

    Give current e-values, not the highest so far. Wang & Ramdas, False discovery rate control with e-values, JRSS-B 2022.

    >>> e_benjamini_hochberg(np.log([100.0, 30.0, 1.0])).tolist()
    [True, True, False]
    """
    values = np.asarray(log_e, np.float64)
    order = np.argsort(-values, kind="stable")
    ranks = np.arange(1, len(values) + 1)
    passing = np.flatnonzero(values[order] >= np.log(len(values) / (alpha * ranks)))
    rejected = np.zeros(len(values), np.bool_)
    rejected[order[: passing[-1] + 1 if len(passing) else 0]] = True
    return rejected
