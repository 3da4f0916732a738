"""What a tree model of XGBoost computes: float32 sums of leaves, begun at its base score, and the link of its objective.

Read off the model in its documented JSON form (https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html).
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from prodml_magics.errors import Unsupported
from prodml_magics.registry.converters.ensembles import Ensemble, Link
from prodml_magics.registry.converters.trees import Tree

__all__ = ["ensemble_of"]

_LINKS: dict[str, Link] = {
    "reg:squarederror": "identity",
    "reg:absoluteerror": "identity",
    "reg:quantileerror": "identity",
    "reg:pseudohubererror": "identity",
    "reg:squaredlogerror": "identity",
    "reg:logistic": "logistic",
    "binary:logistic": "logistic",
    "multi:softprob": "softmax",
    "count:poisson": "exp",
    "reg:gamma": "exp",
    "reg:tweedie": "exp",
}
_CLASSIFIES = frozenset({"binary:logistic", "multi:softprob"})


def ensemble_of(model: Any) -> Ensemble:
    """The ensemble of a fitted ``XGBClassifier`` or ``XGBRegressor``; raises `Unsupported` by name for what has none."""
    learner = json.loads(model.get_booster().save_raw("json").decode())["learner"]
    link = _link(model, learner)
    base = _margins(model)
    trees, targets = _trees(model, learner, base)
    firsts = {targets.index(target): target for target in sorted(set(targets))}
    trees = [_begun(tree, base[firsts[place]]) if place in firsts else tree for place, tree in enumerate(trees)]
    return Ensemble(
        trees,
        targets,
        len(base),
        link,
        float_sums=True,
        by_probability=True,
        missing=None if np.isnan(model.missing) else model.missing,
    )


def _link(model: Any, learner: dict[str, Any]) -> Link:
    name, objective, booster = type(model).__name__, learner["objective"]["name"], learner["gradient_booster"]["name"]
    parameters = learner["learner_model_param"]
    if booster not in ("gbtree", "dart"):
        raise Unsupported(
            f"{name} with booster {booster!r} has no trees to convert; use gbtree, or a linear model of scikit-learn"
        )
    if objective not in _LINKS or (objective in _CLASSIFIES) != hasattr(model, "classes_"):
        raise Unsupported(f"{name} with objective {objective!r} is not converted; use one of {', '.join(sorted(_LINKS))}")
    if "c" in learner["feature_types"]:
        raise Unsupported(
            f"{name} with enable_categorical gives a level that it never saw the code of another, which no conversion repeats; "
            "put OneHotEncoder or OrdinalEncoder in front"
        )
    if int(parameters["num_target"]) > 1:
        raise Unsupported(f"{name} predicts several targets at once; register one model for each")
    return _LINKS[objective]


def _margins(model: Any) -> np.ndarray:
    """Where the sums begin [targets], float32: what the model itself answers with leaves of zero, since it is kept as a prediction and
    the library's own logarithm is not the nearest float.
    """
    from xgboost import Booster, DMatrix

    saved = json.loads(model.get_booster().save_raw("json").decode())
    learner = saved["learner"]
    booster = learner["gradient_booster"]
    grown = booster.get("gbtree", booster)["model"]
    count = grown["iteration_indptr"][1]  # trees of the first round: some of every target
    grown |= {"trees": grown["trees"][:count], "tree_info": grown["tree_info"][:count], "iteration_indptr": [0, count]}
    grown["gbtree_model_param"]["num_trees"] = str(count)
    for tree in grown["trees"]:
        sides = zip(tree["left_children"], tree["split_conditions"], strict=True)
        tree["split_conditions"] = [0.0 if left < 0 else condition for left, condition in sides]
    if "weight_drop" in booster:
        booster["weight_drop"] = booster["weight_drop"][:count]
    rows = DMatrix(np.zeros((1, int(learner["learner_model_param"]["num_feature"])), np.float32))
    empty = Booster({"nthread": 1}, model_file=bytearray(json.dumps(saved).encode()))
    return np.ravel(empty.predict(rows, output_margin=True, validate_features=False)).astype(np.float32)


def _trees(model: Any, learner: dict[str, Any], base: np.ndarray) -> tuple[list[Tree], list[int]]:
    """The trees up to the best iteration, where fitting was stopped early, and the class of each."""
    booster = learner["gradient_booster"]
    grown = booster.get("gbtree", booster)["model"]
    best = getattr(model, "best_iteration", None) if "best_iteration" in learner["attributes"] else None
    last = grown["iteration_indptr"][-1 if best is None else best + 1]
    trees, targets = [_tree(tree) for tree in grown["trees"][:last]], grown["tree_info"][:last]
    if "weight_drop" in booster:
        weights = np.array(booster["weight_drop"], np.float32)
        trees = [_weighed(tree, base[target], weight) for tree, target, weight in zip(trees, targets, weights, strict=False)]
    return trees, targets


def _weighed(tree: Tree, start: np.float32, weight: np.float32) -> Tree:
    """A tree of a dart booster, which takes the start off again what each tree alone predicts: in float32 that leaves another leaf."""
    return tree._replace(value=((tree.value + start) - start) * weight)


def _tree(tree: dict[str, Any]) -> Tree:
    left = np.array(tree["left_children"])
    conditions = np.array(tree["split_conditions"], np.float32)
    return Tree(
        leaf=left < 0,
        feature=np.array(tree["split_indices"]),
        threshold=conditions,
        left=left,
        right=np.array(tree["right_children"]),
        missing_left=np.array(tree["default_left"], bool),
        value=conditions,
        less=True,
    )


def _begun(tree: Tree, start: np.float32) -> Tree:
    """The first tree of a target with the start in its leaves, so that float32 rounds the sums as XGBoost does."""
    return tree._replace(value=tree.value + start)
