"""LightGBM's trees exactly: double sums, its three readings of a missing value, its codes of categories."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from prodml_magics.contract.infer import infer_columns
from prodml_magics.inference.session import open_session
from prodml_magics.registry.converters.lightgbm import ensemble_of
from prodml_magics.registry.converters.sklearn import convert_sklearn_model
from prodml_magics.registry.frames import columns_of

lightgbm = pytest.importorskip("lightgbm", reason="lightgbm is not installed: its conversion is not tested")


def check(model, rows):
    file = convert_sklearn_model(model, infer_columns(columns_of(rows)), "FP64")
    given = open_session(file, device="cpu").run({"input": rows})
    np.testing.assert_array_equal(given["label"], model.predict(rows))
    np.testing.assert_allclose(given["probabilities"], model.predict_proba(rows), rtol=0, atol=1e-14)


def at_thresholds(model, rows):
    """Training rows with one feature each on a split point, one double beside it, and with zeros and NaN."""
    table = [
        (row, feature, value)
        for tree in ensemble_of(model).trees
        for row, (feature, value) in enumerate(zip(tree.feature[~tree.leaf], tree.threshold[~tree.leaf], strict=True))
    ]
    hard = []
    for row, feature, value in table:
        for planted in (value, np.nextafter(value, np.inf), np.nextafter(value, -np.inf), 0.0, -1e-36, np.nan):
            hard.append(rows[row].copy())
            hard[-1][feature] = planted
    return np.vstack([rows, *(row for row in hard if not np.isinf(row).any())])


SETTINGS = {
    "plain": {},
    "zero_as_missing": {"zero_as_missing": True},
    "use_missing=False": {"use_missing": False},
    "dart": {"boosting_type": "dart"},
    "rf": {"boosting_type": "rf", "subsample": 0.7, "subsample_freq": 1},
    "unbalanced": {"is_unbalance": True, "sigmoid": 1.5},
}


@pytest.mark.parametrize("missing", [False, True], ids=["complete", "with NaN"])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_classifier_agrees_at_every_split(settings, missing):
    rows, target = load_breast_cancer(return_X_y=True)
    rows[np.random.default_rng(0).random(rows.shape) < 0.1] = 0
    if missing:
        rows[np.random.default_rng(1).random(rows.shape) < 0.1] = np.nan
    model = lightgbm.LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1, **settings).fit(rows, target)
    check(model, at_thresholds(model, rows))


def test_codes_of_categories_that_are_unseen_negative_or_no_whole_numbers():
    generator = np.random.default_rng(0)
    rows = np.column_stack([generator.integers(0, 60, 2000), generator.normal(size=2000)]).astype(float)
    target = (np.sin(rows[:, 0] * 12) + rows[:, 1] > 0).astype(int)
    model = lightgbm.LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1, min_data_per_group=5, cat_smooth=1)
    model.fit(rows, target, categorical_feature=[0])
    assert any(tree.members for tree in ensemble_of(model).trees)
    odd = [np.nan, -1, -0.5, 5.5, 59.9, 60, 77, 1e6, -0.0]
    strange = np.column_stack([np.repeat(odd, 50), np.tile(rows[:50, 1], len(odd))])
    check(model, np.vstack([rows, strange]))


def test_early_stopping_keeps_the_best_rounds_only():
    rows, target = load_breast_cancer(return_X_y=True)
    model = lightgbm.LGBMClassifier(n_estimators=300, learning_rate=0.5, verbose=-1, n_jobs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # version 4.7 renames eval_set, which older ones only know
        stop = lightgbm.early_stopping(5, verbose=False)
        model.fit(rows[:300], target[:300], eval_set=[(rows[300:], target[300:])], callbacks=[stop])
    assert len(ensemble_of(model).trees) == model.best_iteration_ < 300
    check(model, rows)
