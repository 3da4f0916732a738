"""Energy distance: how much farther apart rows of two samples lie than rows of one."""

from __future__ import annotations

import numpy as np

from prodml_magics.stats.drift.shapes import Array, Float
from prodml_magics.stats.drift.support import Support, distributions, steps

__all__ = ["energy_distance"]


def energy_distance(support: Support) -> Float[Array, " ..."]:
    """√(2·∫(F − G)² dx), in the root of the values' unit; NaN where a value is infinite.

    Equals ``scipy.stats.energy_distance`` (Székely & Rizzo 2013, J. Stat. Plan. Inference 143, 1249–1272). It grows with the
    square root of the unit, so its effect is divided by the root of the reference's standard deviation.
    """
    before, now = distributions(support)
    with np.errstate(invalid="ignore"):
        return np.sqrt(2 * ((before - now)[..., :-1] ** 2 * steps(support)).sum(axis=-1))
