"""In which precision a conversion is tried, and in which next."""

from __future__ import annotations

from typing import Any

from prodml_magics.registry.converters.cutoff import cutoff_of
from prodml_magics.registry.layout import Precision
from prodml_magics.registry.roles import nested, unwrap

__all__ = ["precisions"]

_DOUBLE_ONLY = frozenset({"GaussianMixture", "BayesianGaussianMixture", "GaussianProcessRegressor"})
"""They invert matrices: float32 is off by 1e-3 on rows that no gate may happen to hold. A threshold on probabilities needs
double too, for a probability may lie on it."""

_TREES = ("DecisionTree", "ExtraTree", "RandomForest", "GradientBoosting", "HistGradientBoosting", "XGB", "LGBM", "CatBoost")
_DOUBLE_FIRST = ("LGBM", "TransformedTargetRegressor")
"""LightGBM puts a split as close to a training value as doubles go, and a row sent in float32 may be on its other side; an exponential
of predictions makes their errors larger, and overflows float32.
"""

_NO_ARITHMETIC = frozenset(
    {
        "ColumnTransformer",
        "OneHotEncoder",
        "OrdinalEncoder",
        "Pipeline",
        "SelectFromModel",
        "SelectKBest",
        "SimpleImputer",
        "VarianceThreshold",
    }
)


def precisions(model: Any) -> tuple[Precision, ...]:
    """The precisions to try, in order: float32 first, except where it is known to answer otherwise than scikit-learn.

    Arithmetic in front of a tree (a scaler, say) in float32 moves rows across thresholds, one in a thousand, which the rows of a gate
    may not show: there double is the only one.
    """
    parts = list(nested(model))
    if cutoff_of(unwrap(model)) or any(type(part).__name__ in _DOUBLE_ONLY for part in parts):
        return ("FP64",)
    if any(_computes_before_trees(part) for part in parts):
        return ("FP64",)
    double = any(type(part).__name__.startswith(_DOUBLE_FIRST) for part in parts)
    return ("FP64", "FP32") if double else ("FP32", "FP64")


def _computes_before_trees(part: Any) -> bool:
    steps = [step for _, step in getattr(part, "steps", ())]
    if not steps:
        return _has_trees(getattr(part, "final_estimator_", None))  # over the probabilities of others
    return _has_trees(steps[-1]) and any(_computes(inner) for step in steps[:-1] for inner in nested(step))


def _computes(part: Any) -> bool:
    if type(part).__name__ == "FunctionTransformer":
        return part.func is not None
    return type(part).__name__ not in _NO_ARITHMETIC


def _has_trees(model: Any) -> bool:
    return any(type(inner).__name__.startswith(_TREES) for inner in nested(model))
