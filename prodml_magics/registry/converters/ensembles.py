"""What each tree model of scikit-learn computes, as sums of trees and a link."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np

from prodml_magics.errors import Unsupported
from prodml_magics.registry.converters.trees import Tree, of_histogram, of_tree

__all__ = ["Ensemble", "ensemble_of", "known_categories", "text_levels"]

Link = Literal["identity", "exp", "sigmoid", "double_sigmoid", "logistic", "softmax", "share"]


class Ensemble(NamedTuple):
    """Trees whose leaves are summed into targets; the sums divided by `divisor` and put through `link`.

    `share`: the sums are the class probabilities. `sigmoid`: one sum is the log-odds of the second class, whose label is
    given where it is above 0, or at 0 as well with `at_zero`. `float_input`: the model casts the rows to float32.
    `logistic`: the same of `slope` times the sum, in the library's own steps. `float_sums`: it sums in float32 and rounds each
    step of its link. `by_probability`: the label is that of the largest probability as rounded, the first of equal ones.
    """

    trees: list[Tree]
    targets: list[int]
    n_targets: int
    link: Link = "identity"
    divisor: float = 1.0
    float_input: bool = True
    at_zero: bool = False
    float_sums: bool = False
    by_probability: bool = False
    slope: float = 1.0
    missing: float | None = None
    """A value that stands for a missing one, beside NaN."""
    zero_missing: tuple[int, ...] = ()
    """Columns in which a value within 1e-35 of zero is a missing one."""
    whole: tuple[int, ...] = ()
    """Columns of categories, cut to whole numbers first."""
    known: Mapping[int, np.ndarray] = MappingProxyType({})
    """Columns of categories beside those known in each; any other is a missing value."""
    levels: tuple[tuple[str, ...], ...] = ()
    """The texts of each text column, in the order of their codes; others are missing values."""


def ensemble_of(model: Any) -> Ensemble | None:
    """The ensemble that `model` computes, or None for a variant that is left to skl2onnx (and to the parity gate)."""
    name = type(model).__name__
    if name.startswith("HistGradientBoosting"):
        return _histogram(model)
    if name.startswith("GradientBoosting"):
        return _boosting(model)
    return _forest(model)


def text_levels(name: str, categories: Iterable[Sequence[Any]]) -> tuple[tuple[str, ...], ...]:
    """`categories` [columns][levels] of the model `name`; raises `Unsupported` where they are no text."""
    levels = tuple(tuple(column) for column in categories)
    if not all(isinstance(level, str) for column in levels for level in column):
        raise Unsupported(f"{name} has categories that are no text; make them text, or numbers without categories")
    return levels


def _forest(model: Any) -> Ensemble | None:
    if model.n_outputs_ > 1:
        return None
    members = getattr(model, "estimators_", [model])
    if hasattr(model, "classes_"):
        classes = range(len(model.classes_))
        trees = [of_tree(member.tree_, place) for member in members for place in classes]
        return Ensemble(trees, [*classes] * len(members), len(classes), "share", float(len(members)))
    return Ensemble([of_tree(member.tree_) for member in members], [0] * len(members), 1, divisor=float(len(members)))


def _boosting(model: Any) -> Ensemble | None:
    if model.init_ != "zero" and type(model.init_).__name__ not in ("DummyClassifier", "DummyRegressor"):
        return None
    start = model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32))[0]
    stages = [[of_tree(member.tree_) for member in stage] for stage in model.estimators_]
    stages = [[tree._replace(value=tree.value * model.learning_rate) for tree in stage] for stage in stages]
    link: Link = "identity"
    if hasattr(model, "classes_"):
        link = "softmax" if len(start) > 1 else "double_sigmoid" if model.loss == "exponential" else "sigmoid"
    return _staged(stages, start, link, float_input=True, at_zero=True)


def _histogram(model: Any) -> Ensemble:
    known = known_categories(model)
    coded = [
        np.arange(float(count)) for count in getattr(model, "coded_levels", ())
    ]  # see `coding`: unseen codes are missing there
    others = [place for place in range(model.n_features_in_) if place not in known]
    columns, categories = np.array([*known, *others]), coded or list(known.values())
    stages = [[of_histogram(predictor, columns, categories) for predictor in stage] for stage in model._predictors]
    start = np.ravel(model._baseline_prediction)
    link: Link = "exp" if model.loss in ("poisson", "gamma") else "identity"
    if hasattr(model, "classes_"):
        link = "softmax" if len(start) > 1 else "sigmoid"
    return _staged(stages, start, link, float_input=False, at_zero=False)._replace(known=known)


def known_categories(model: Any) -> dict[int, np.ndarray]:
    """The columns that a histogram gradient boosting model splits as categories, and what each held at fit beside NaN."""
    if getattr(model, "_preprocessor", None) is None:
        return {}
    columns = np.flatnonzero(model.is_categorical_).tolist()
    categories = model._preprocessor.named_transformers_["encoder"].categories_
    return {place: np.array([v for v in held.tolist() if v == v]) for place, held in zip(columns, categories, strict=True)}


def _staged(stages: list[list[Tree]], start: np.ndarray, link: Link, *, float_input: bool, at_zero: bool) -> Ensemble:
    """The starting value goes into the leaves of the first stage, so that sums are rounded as scikit-learn rounds them."""
    first = [tree._replace(value=tree.value + value) for tree, value in zip(stages[0], start, strict=True)]
    trees = [tree for stage in [first, *stages[1:]] for tree in stage]
    return Ensemble(trees, [*range(len(start))] * len(stages), len(start), link, float_input=float_input, at_zero=at_zero)
