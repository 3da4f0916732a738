"""One decision over all guards: has any of them shown harm, and which."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from prodml_magics.stats.sequential.e_bh import e_benjamini_hochberg
from prodml_magics.stats.sequential.mixture import log_mean_exp

__all__ = ["culprits"]


def culprits(log_e: Mapping[str, float], alpha: float) -> tuple[str, ...]:
    """Guards that are worse, the worst first; none unless the mean of their e-values reaches 1/alpha. Then e-BH names them.

    >>> culprits({"error_rate": 4.0, "latency_p99": 0.0}, 0.05)
    ('error_rate',)
    """
    values = np.array(list(log_e.values()))
    if not len(values) or float(log_mean_exp(values)) < math.log(1 / alpha):
        return ()
    named = e_benjamini_hochberg(values, alpha) | (values == values.max())
    order = np.argsort(-values, kind="stable")
    return tuple(list(log_e)[index] for index in order if named[index])
