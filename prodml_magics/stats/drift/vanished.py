"""Categories of the reference that no row has any more."""

from __future__ import annotations

import numpy as np

from prodml_magics.stats.drift.shapes import Array, Float, Int

__all__ = ["vanished_share"]


def vanished_share(reference: Int[Array, "... levels"], current: Int[Array, "... levels"]) -> Float[Array, " ..."]:
    """Share of the reference's rows whose category is gone, in [0, 1], over the last axis of count arrays [..., levels].

    >>> float(vanished_share(np.array([60, 30, 10]), np.array([5, 0, 0])))
    0.4
    """
    return np.where(current == 0, reference, 0).sum(axis=-1) / reference.sum(axis=-1)
