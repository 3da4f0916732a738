"""The table of statistics that `--method` chooses among: what each measures, its tolerance, and its test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from prodml_magics.errors import InvalidInput
from prodml_magics.stats.drift.anderson_darling import anderson_darling, anderson_darling_effect, anderson_darling_p_value
from prodml_magics.stats.drift.chi_squared import chi_squared
from prodml_magics.stats.drift.cramer_von_mises import cramer_von_mises, cramer_von_mises_p_value, root_mean_squared_gap
from prodml_magics.stats.drift.cramers_v import cramers_v
from prodml_magics.stats.drift.energy_distance import energy_distance
from prodml_magics.stats.drift.g_test import g_test
from prodml_magics.stats.drift.hellinger import hellinger
from prodml_magics.stats.drift.jensen_shannon import jensen_shannon
from prodml_magics.stats.drift.kullback_leibler import kullback_leibler
from prodml_magics.stats.drift.l_infinity import l_infinity
from prodml_magics.stats.drift.moments import mean_shift, quantile_shift, spread_ratio
from prodml_magics.stats.drift.monte_carlo import small_counts_p_value
from prodml_magics.stats.drift.psi import psi
from prodml_magics.stats.drift.support import Support, distributions, steps
from prodml_magics.stats.drift.total_variation import total_variation
from prodml_magics.stats.drift.vanished import vanished_share
from prodml_magics.stats.nearest import nearest

__all__ = ["STATISTICS", "Numeric", "Scale", "Statistic", "check_methods"]


class Scale(NamedTuple):
    """Standard deviation and interquartile range of the reference; NaN where undefined, and zero counts as undefined."""

    sd: float
    iqr: float


Numeric = Callable[[Support, Scale], Any]
"""Two samples on their support, and the reference's scale → the effect [...] of each pair."""

Counts = Callable[[Any, Any], Any]
"""Counts [..., levels] of the two sides → the effect [...]."""


class Statistic(NamedTuple):
    """`numeric` and `categorical` give the effect for columns of that kind, None where it says nothing of them.

    `value` is what is reported where that differs from the effect; `p_value` its own test, where it has one: of the value
    and both sizes for numeric columns, of both counts for categorical ones.
    """

    title: str
    tolerance: float
    """Effect up to which it counts as harmless, where the caller names no other."""
    numeric: Numeric | None = None
    categorical: Counts | None = None
    value: Callable[..., Any] | None = None
    p_value: Callable[..., float] | None = None
    power: int = 2
    """Of the effect, to which chance adds as the inverse of the rows: two for a distance, one for a divergence or a share."""

    def applies(self, kind: Literal["numeric", "categorical"]) -> bool:
        """Whether it says anything of columns of that kind."""
        return (self.numeric if kind == "numeric" else self.categorical) is not None


def _binned(distance: Counts) -> Numeric:
    def of_support(support: Support, scale: Scale) -> Any:
        return distance(*support.binned)

    return of_support


def _gap(support: Support, scale: Scale) -> Any:
    before, now = distributions(support)
    return np.abs(before - now).max(axis=-1)


def _distance(support: Support, scale: Scale) -> Any:
    """Wasserstein-1 in the unit of the values."""
    before, now = distributions(support)
    with np.errstate(invalid="ignore"):
        return (np.abs(before - now)[..., :-1] * steps(support)).sum(axis=-1)


def _over(measure: Numeric, unit: Callable[[Scale], float]) -> Numeric:
    """A measure divided by a unit of the reference; NaN where that is zero or undefined."""

    def scaled(support: Support, scale: Scale) -> Any:
        size = unit(scale)
        return measure(support, scale) / (size if size > 0 else np.nan)

    return scaled


def _of_support(measure: Callable[[Support], Any]) -> Numeric:
    def of_support(support: Support, scale: Scale) -> Any:
        return measure(support)

    return of_support


def _sd(scale: Scale) -> float:
    return scale.sd


def _root_sd(scale: Scale) -> float:
    return float(np.sqrt(scale.sd))


def _iqr(scale: Scale) -> float:
    return scale.iqr


def _upper_tail_of_anderson_darling(value: float, n: int, m: int) -> float:
    return anderson_darling_p_value(value)


STATISTICS: dict[str, Statistic] = {
    "ks": Statistic("KS distance", 0.1, numeric=_gap),
    "wasserstein": Statistic("Wasserstein distance in sd", 0.1, numeric=_over(_distance, _sd), value=_distance),
    "wasserstein_sd": Statistic("Wasserstein distance in sd", 0.1, numeric=_over(_distance, _sd)),
    "wasserstein_iqr": Statistic("Wasserstein distance in IQR", 0.1, numeric=_over(_distance, _iqr)),
    "cvm": Statistic(
        "root mean squared gap",
        0.1,
        numeric=_of_support(root_mean_squared_gap),
        value=_of_support(cramer_von_mises),
        p_value=cramer_von_mises_p_value,
    ),
    "ad": Statistic(
        "Anderson–Darling gap",
        0.15,
        numeric=_of_support(anderson_darling_effect),
        value=_of_support(anderson_darling),
        p_value=_upper_tail_of_anderson_darling,
    ),
    "energy": Statistic(
        "energy distance in √sd", 0.1, numeric=_over(_of_support(energy_distance), _root_sd), value=_of_support(energy_distance)
    ),
    "psi": Statistic("PSI", 0.1, numeric=_binned(psi), categorical=psi, power=1),
    "js": Statistic("Jensen–Shannon distance", 0.1, numeric=_binned(jensen_shannon), categorical=jensen_shannon),
    "hellinger": Statistic("Hellinger distance", 0.1, numeric=_binned(hellinger), categorical=hellinger),
    "kl": Statistic("Kullback–Leibler divergence", 0.1, numeric=_binned(kullback_leibler), categorical=kullback_leibler, power=1),
    "linf": Statistic("largest change of a share", 0.1, numeric=_binned(l_infinity), categorical=l_infinity),
    "mean": Statistic("shift of the mean in sd", 0.2, numeric=_over(_of_support(mean_shift), _sd)),
    "spread": Statistic("change of ln(sd)", 0.2, numeric=_of_support(spread_ratio)),
    "quantiles": Statistic("largest shift of a quantile in IQR", 0.2, numeric=_over(_of_support(quantile_shift), _iqr)),
    "tv": Statistic("total variation", 0.1, categorical=total_variation),
    "chi2": Statistic("Cramér's V", 0.1, categorical=cramers_v, value=chi_squared, p_value=small_counts_p_value),
    "g": Statistic("Cramér's V", 0.1, categorical=cramers_v, value=g_test, p_value=small_counts_p_value),
    "cramers_v": Statistic("Cramér's V", 0.1, categorical=cramers_v),
    "vanished": Statistic("share of the reference whose category is gone", 0.1, categorical=vanished_share, power=1),
}
"""By the name that `--method` takes; the Kolmogorov–Smirnov distance and total variation decide unless others are named."""


def check_methods(names: tuple[str, ...], others: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The names, when all of them are statistics of this table or among `others`; raises InvalidInput with the nearest ones."""
    known = (*STATISTICS, *others)
    for name in names:
        if name not in known:
            raise InvalidInput(f"unknown method '{name}'; {nearest(name, known, most=len(known))}")
    return names
