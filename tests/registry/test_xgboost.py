"""XGBoost's trees to the last bit: the same float32 sums, probabilities and labels, also where a split is a float away."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from prodml_magics.contract.infer import infer_columns
from prodml_magics.inference.session import open_session
from prodml_magics.registry.converters.sklearn import convert_sklearn_model
from prodml_magics.registry.frames import columns_of

xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed: its conversion is not tested")

ULP = 2.0**-24
"""The last bit of a probability below 1: XGBoost's `expf` is not always the nearest float, ours is. All else is the same bits."""
LOADERS = {"cancer": load_breast_cancer, "iris": load_iris, "diabetes": load_diabetes}


def answers(model, rows):
    file = convert_sklearn_model(model, infer_columns(columns_of(rows)), "FP32")
    return open_session(file, device="cpu").run({"input": rows})


def at_thresholds(model, rows):
    """Each training row with one feature put on a split point, or one float beside it."""
    splits = model.get_booster().trees_to_dataframe().query("Feature != 'Leaf'")
    features = splits.Feature.str[1:].astype(int).to_numpy()
    planted = rows[np.arange(len(splits)) % len(rows)].copy()
    planted[np.arange(len(splits)), features] = splits.Split.to_numpy(np.float32)
    below, above = planted.copy(), planted.copy()
    below[np.arange(len(splits)), features] = np.nextafter(planted[np.arange(len(splits)), features], np.float32(-np.inf))
    above[np.arange(len(splits)), features] = np.nextafter(planted[np.arange(len(splits)), features], np.float32(np.inf))
    return np.vstack([rows, planted, below, above])


@pytest.mark.parametrize("data", ["cancer", "iris"])
@pytest.mark.parametrize("dart", [{}, {"booster": "dart", "rate_drop": 0.2}], ids=["gbtree", "dart"])
def test_a_classifier_agrees_at_every_split(data, dart):
    rows, target = LOADERS[data](return_X_y=True)
    rows = rows.astype(np.float32)
    rows[::7, 0] = np.nan
    # a dart tree is weighed anew in every round: its cost grows with the square of the rounds
    model = xgboost.XGBClassifier(n_estimators=20 if dart else 60, **dart).fit(rows, target)
    hard = at_thresholds(model, rows)
    given = answers(model, hard)
    np.testing.assert_array_equal(given["label"], model.predict(hard))
    np.testing.assert_allclose(given["probabilities"], model.predict_proba(hard), rtol=0, atol=ULP)


@pytest.mark.parametrize(
    ("objective", "options"),
    [
        ("reg:squarederror", {"n_estimators": 200}),
        ("reg:absoluteerror", {"n_estimators": 200}),
        ("reg:squarederror", {"n_estimators": 30, "booster": "dart", "rate_drop": 0.3}),
        ("reg:squarederror", {"n_estimators": 30, "num_parallel_tree": 3, "subsample": 0.5}),
    ],
)
def test_a_regressor_sums_to_the_same_bits(objective, options):
    rows, target = load_diabetes(return_X_y=True)
    rows = rows.astype(np.float32)
    model = xgboost.XGBRegressor(objective=objective, **options).fit(rows, target)
    hard = at_thresholds(model, rows)
    np.testing.assert_array_equal(answers(model, hard)["prediction"], model.predict(hard))


def test_early_stopping_keeps_the_best_rounds_only():
    rows, target = load_breast_cancer(return_X_y=True)
    rows = rows.astype(np.float32)
    model = xgboost.XGBClassifier(n_estimators=300, learning_rate=0.5, early_stopping_rounds=5)
    model.fit(rows[:300], target[:300], eval_set=[(rows[300:], target[300:])], verbose=False)
    assert model.best_iteration + 1 < len(model.get_booster().get_dump())
    np.testing.assert_allclose(answers(model, rows)["probabilities"], model.predict_proba(rows), rtol=0, atol=ULP)


def test_a_classifier_of_classes_that_start_apart():
    """Since version 3.1 every class begins at a base score of its own."""
    rows, target = load_iris(return_X_y=True)
    rows, target = rows[20:].astype(np.float32), target[20:]
    model = xgboost.XGBClassifier(n_estimators=1, max_depth=1).fit(rows, target)
    np.testing.assert_allclose(answers(model, rows)["probabilities"], model.predict_proba(rows), rtol=0, atol=1e-7)
