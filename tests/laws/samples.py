"""The table of numeric cases that every backend has to agree on: name → (reference, current), unsorted, same dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

_RNG = np.random.default_rng(20_261_123)


def _normal(rows: int, dtype: str = "f4", **kwargs: float) -> NDArray[Any]:
    return _RNG.normal(size=rows, **kwargs).astype(dtype)


def _repeated(values: list[float], often: list[int]) -> NDArray[Any]:
    return np.repeat(np.array(values, "f4"), often)


NUMERIC_CASES: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {
    "continuous": (_normal(3_000), _normal(2_000, loc=0.2)),
    "equal sizes": (_normal(1_500), _normal(1_500)),
    "heavy ties": (np.round(_normal(3_000)), np.round(_normal(2_500, loc=0.3))),
    "integers": (_RNG.integers(0, 9, 800).astype("f4"), _RNG.integers(2, 12, 900).astype("f4")),
    "constants": (np.full(50, 3, "f4"), np.full(70, 3, "f4")),
    "another constant": (np.full(50, 3, "f4"), np.full(70, 2, "f4")),
    "zeros": (np.zeros(60, "f4"), np.zeros(50, "f4")),
    "left a heavy value": (_repeated([-1.5, 0, 2], [5, 80, 15]), _repeated([-1.5, -0.1, 2], [5, 80, 15])),
    "left the largest": (_repeated([1.5, 5], [8, 92]), _repeated([1.5, 4.9, 5], [8, 42, 50])),
    "left the smallest": (_repeated([0, 3], [70, 30]), _repeated([-1, 3], [70, 30])),
    "one row": (np.array([1], "f4"), np.array([2], "f4")),
    "two rows": (np.array([1, 2], "f4"), np.array([2, 2], "f4")),
    "one against many": (np.array([0.5], "f4"), _normal(4_000)),
    "many against one": (_normal(4_000), np.array([0.5], "f4")),
    "apart": (_normal(500), _normal(400, loc=100)),
    "outlier": (np.append(_normal(999), np.float32(1e12)), _normal(1_000, loc=1)),
    "denormals": (_normal(300) * np.float32(1e-40), _normal(300) * np.float32(2e-40)),
    "huge offset": ((_normal(700) + 2**20).astype("f4"), (_normal(800, loc=2) + 2**20).astype("f4")),
    "negative zero": (np.array([-0.0, 0.0, 1.0], "f4"), np.array([0.0, -0.0, -1.0], "f4")),
}


def largest_gap(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The KS distance by definition, from scipy's distribution functions at every point of both samples."""
    points = np.concatenate([a, b])
    return float(np.abs(stats.ecdf(a).cdf.evaluate(points) - stats.ecdf(b).cdf.evaluate(points)).max())
