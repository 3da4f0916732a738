"""What a model of CatBoost computes: double sums over symmetric trees, each level of which asks one question of float32 values.

Read off the model in its JSON form (https://catboost.ai/docs/en/concepts/json-models-tutorial): the leaf of a row has the number whose
bit i says that the value is above the border of split i.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from prodml_magics.errors import Unsupported, first_line
from prodml_magics.registry.converters.ensembles import Ensemble, Link
from prodml_magics.registry.converters.trees import Tree

__all__ = ["ensemble_of"]

_CLASSIFIES: dict[str, Link] = {
    "Logloss": "sigmoid",
    "CrossEntropy": "sigmoid",
    "MultiClass": "softmax",
    "MultiClassOneVsAll": "logistic",
}
_REGRESSES: dict[str, Link] = {
    "RMSE": "identity",
    "MAE": "identity",
    "MAPE": "identity",
    "Quantile": "identity",
    "Expectile": "identity",
    "Huber": "identity",
    "LogCosh": "identity",
    "Lq": "identity",
    "Poisson": "exp",
    "Tweedie": "exp",
}


def ensemble_of(model: Any) -> Ensemble:
    """The ensemble of a fitted ``CatBoostClassifier`` or ``CatBoostRegressor``; raises `Unsupported` by name for what has none."""
    name = type(model).__name__
    form = _form(model)
    link = _link(name, form, hasattr(model, "predict_proba"))
    features = _features(form)
    scale, bias = form["scale_and_bias"]
    starts = np.atleast_1d(np.array(bias, np.float64))
    trees = [tree for grown in form["oblivious_trees"] for tree in _trees(name, grown, features, len(starts), scale)]
    # the start goes into the leaves of the first round
    trees[: len(starts)] = [
        tree._replace(value=tree.value + start) for tree, start in zip(trees[: len(starts)], starts, strict=True)
    ]
    return Ensemble(trees, [*range(len(starts))] * len(form["oblivious_trees"]), len(starts), link, float_input=True)


def _form(model: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="prodml-") as folder:
        path = Path(folder) / "model.json"
        try:
            model.save_model(str(path), format="json")
        except Exception as error:  # CatBoostError, which has no form of its own for each cause
            raise Unsupported(f"{type(model).__name__} cannot be read: {first_line(error)}; use symmetric trees") from error
        found: dict[str, Any] = json.loads(path.read_text())
    if "oblivious_trees" not in found:
        raise Unsupported(f"{type(model).__name__} has trees that are not symmetric; fit it with grow_policy='SymmetricTree'")
    return found


def _link(name: str, form: dict[str, Any], classifies: bool) -> Link:
    loss = form["model_info"]["params"].get("loss_function", {}).get("type", "none")
    known = _CLASSIFIES if classifies else _REGRESSES
    if name not in ("CatBoostClassifier", "CatBoostRegressor") or loss not in known:
        raise Unsupported(
            f"{name} with loss function {loss!r} is not converted; use a CatBoostClassifier or CatBoostRegressor with one of "
            f"{', '.join(sorted(known))}"
        )
    return known[loss]


def _features(form: dict[str, Any]) -> dict[int, tuple[int, bool]]:
    """Column of each float feature, and whether a missing value of it goes to the side of smaller ones."""
    return {
        feature["feature_index"]: (feature["flat_feature_index"], feature["nan_value_treatment"] != "AsTrue")
        for feature in form["features_info"].get("float_features", ())
    }


def _trees(name: str, grown: dict[str, Any], features: dict[int, tuple[int, bool]], targets: int, scale: float) -> list[Tree]:
    """One tree for each target: nodes level by level, on each level in the order of the bits that led there."""
    splits = grown.get("splits") or []
    other = next((split["split_type"] for split in splits if split["split_type"] != "FloatFeature"), None)
    if other is not None:
        raise Unsupported(f"{name} splits on categories or text ({other}); put OneHotEncoder or OrdinalEncoder in front")
    levels = [np.full(2**level, level) for level in range(len(splits))]
    level_of = np.concatenate([*levels, np.full(2 ** len(splits), len(splits))])
    places = np.concatenate([np.arange(2**level) for level in range(len(splits) + 1)])
    leaf = level_of == len(splits)
    asked = [(*features[split["float_feature_index"]], float(np.float32(split["border"]))) for split in splits] + [
        (0, False, 0.0)
    ]
    column, missing_left, border = (np.array([each[part] for each in asked]) for part in range(3))
    first = 2 ** (level_of + 1) - 1
    left = np.where(leaf, 0, first + places)
    values = np.array(grown["leaf_values"], np.float64).reshape(-1, targets) * scale
    return [
        Tree(
            leaf=leaf,
            feature=column[level_of],
            threshold=border[level_of],
            left=left,
            right=np.where(leaf, 0, left + 2**level_of),
            missing_left=missing_left[level_of].astype(bool),
            value=np.concatenate([np.zeros(int((~leaf).sum())), values[:, target]]),
        )
        for target in range(targets)
    ]
