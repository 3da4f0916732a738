"""What `detect` found: names, arrays, and a frame on request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.errors import Unavailable
from prodml_magics.stats.drift.dataset import DatasetVerdict
from prodml_magics.stats.drift.joint.table import JointFinding

if TYPE_CHECKING:
    import polars

__all__ = ["Detection"]

_Floats = NDArray[np.float64]
_Counts = NDArray[np.int64]


class Detection(NamedTuple):
    """One entry per column in every tuple and array [columns]; NaN in an array means undefined, and is null in `frame`."""

    names: tuple[str, ...]
    kind: tuple[str, ...]
    """``numeric``, ``categorical``, ``text`` or ``embedding``."""
    n_reference: _Counts
    """Rows, missing ones included."""
    n_current: _Counts
    missing_reference: _Floats
    """Missing share of the rows; NaN where there is no row."""
    missing_current: _Floats
    ks: _Floats
    """Kolmogorov–Smirnov distance in [0, 1]; numeric columns."""
    wasserstein: _Floats
    """Wasserstein-1 in the column's unit; numeric columns without infinite values."""
    psi: _Floats
    """Population stability index, over the reference's deciles or over the categories."""
    js: _Floats
    """Jensen–Shannon distance, base 2, over the same bins."""
    chi2: _Floats
    """Two-sample chi-squared statistic; categorical columns."""
    tv: _Floats
    """Total variation in [0, 1]; categorical columns."""
    p_value: _Floats
    p_adjusted: _Floats
    """Adjusted over all tests of the call, for the false discovery rate."""
    effect: _Floats
    """What decided: KS distance, total variation, maximum mean discrepancy, or the change of the missing share."""
    effect_low: _Floats
    """Lower confidence bound of the effect at level 1 − alpha."""
    tolerance: _Floats
    """Effect up to which it counts as harmless."""
    calibrated: tuple[bool, ...]
    """Whether that is what the reference itself moves between held-out chunks (`prodml_magics.stats.drift.calibration`)."""
    drifted: list[str]
    """Names of the columns that have drifted."""
    undecided: list[str]
    """Names of the columns of which it cannot be told."""
    changed: tuple[str, ...]
    """Names of the columns that were not compared, since only one side has them, or they hold another kind of values now."""
    extra: Mapping[str, _Floats]
    """Statistics that were asked for by name; further columns of the frame where it does not have them anyway."""
    joint: tuple[JointFinding, ...]
    """What the statistics of all numeric columns at once say, of those that were asked for."""
    reason: tuple[str, ...]
    """Why: what was found, what it looks like, and what it was held against."""
    sentence: tuple[str, ...]
    """The verdict in words, such as `` `mean radius` moved by 1.9 sd; looks like a unit change ×10``."""
    seconds: float
    device: str
    """``cpu`` or ``gpu``; names how many columns were computed elsewhere."""
    dataset: DatasetVerdict
    """All columns together, weighted by the importance that the reference's extras name."""

    @property
    def verdict(self) -> str:
        """The whole in one sentence."""
        if not self.names:
            return "no columns to compare"
        doubt = f"; {len(self.undecided)} undecided" if self.undecided else ""
        if not self.drifted:
            return f"none of {len(self.names)} columns has drifted{doubt}"
        shown = ", ".join(self.drifted[:5]) + (", …" if len(self.drifted) > 5 else "")
        return f"{len(self.drifted)} of {len(self.names)} columns drifted: {shown}{doubt}"

    @property
    def frame(self) -> polars.DataFrame:
        """A polars frame with a row per column; undefined values are null, and `drifted` is null where undecided.

        Raises Unavailable where polars is not installed; `to_columns` tells the same without it.
        """
        try:
            import polars as pl
        except ImportError as error:
            raise Unavailable("frames are polars', which is not installed; pip install polars, or take .to_columns()") from error

        return pl.DataFrame(self.to_columns(), schema_overrides={"drifted": pl.Boolean}, strict=False)

    def to_columns(self) -> dict[str, list[Any]]:
        """The columns of `frame` as plain lists, with None for what is undefined or undecided."""
        arrays = {name: _plain(getattr(self, name)) for name in _ARRAYS}
        drifted = [None if name in self.undecided else name in self.drifted for name in self.names]
        return {
            "column": list(self.names),
            "kind": list(self.kind),
            **arrays,
            "drifted": drifted,
            "reason": list(self.reason),
            "tolerance": _plain(self.tolerance),
            "calibrated": list(self.calibrated),
            **{name: _plain(values) for name, values in self.extra.items() if name not in arrays},
        }


_ARRAYS = (
    *("n_reference", "n_current", "missing_reference", "missing_current", "ks", "wasserstein", "psi", "js", "chi2", "tv"),
    *("p_value", "p_adjusted", "effect", "effect_low"),
)


def _plain(values: NDArray[Any]) -> list[Any]:
    return [None if value != value else value for value in values.tolist()]
