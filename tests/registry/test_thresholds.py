"""Our own tree exporter, every family: the last digit on rows that lie at split points, beside them, lack values or are unseen."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import numpy as np
import pytest
from sklearn import ensemble, tree

from prodml_magics.contract.infer import infer_columns
from prodml_magics.contract.schema import Contract
from prodml_magics.inference.session import open_session
from prodml_magics.registry.converters.sklearn import convert_sklearn_model
from prodml_magics.registry.layout import wire_inputs
from prodml_magics.registry.thresholds import threshold_rows

ROWS = 500
_generator = np.random.default_rng(0)
SMOOTH = _generator.normal(size=(ROWS, 5))
TIED = np.round(SMOOTH, 1)  # split points between few values, some of them values themselves in another precision
GAPS = np.where(_generator.random(SMOOTH.shape) < 0.1, np.nan, SMOOTH)
CODES = np.column_stack([_generator.integers(0, 12, ROWS), _generator.integers(0, 4, ROWS), SMOOTH[:, :3]])
CODES[::25, 0] = np.nan
LEVELS = [0, 1]
SIGNAL = np.nan_to_num(SMOOTH[:, 0] + 0.5 * SMOOTH[:, 1] * SMOOTH[:, 2])
BINARY = (SIGNAL + 0.3 * _generator.normal(size=ROWS) > 0).astype(int)
THREE = np.digitize(SIGNAL, [-0.5, 0.5])
NUMBER = SIGNAL * 10
POSITIVE = np.exp(SIGNAL)
SEED = {"random_state": 0}
HGBC, HGBR = ensemble.HistGradientBoostingClassifier, ensemble.HistGradientBoostingRegressor

SKLEARN = {
    "DecisionTree": (tree.DecisionTreeClassifier(**SEED), TIED, BINARY),
    "DecisionTree, gaps, three classes": (tree.DecisionTreeClassifier(max_depth=6, **SEED), GAPS, THREE),
    "DecisionTree, number": (tree.DecisionTreeRegressor(**SEED), GAPS, NUMBER),
    "ExtraTree": (tree.ExtraTreeClassifier(**SEED), SMOOTH, THREE),
    "RandomForest, even number of trees": (ensemble.RandomForestClassifier(20, max_depth=4, **SEED), TIED, BINARY),
    "RandomForest, gaps, three classes": (ensemble.RandomForestClassifier(16, **SEED), GAPS, THREE),
    "RandomForest, number": (ensemble.RandomForestRegressor(15, **SEED), GAPS, NUMBER),
    "ExtraTrees": (ensemble.ExtraTreesClassifier(16, **SEED), GAPS, BINARY),
    "ExtraTrees, three classes": (ensemble.ExtraTreesClassifier(16, max_depth=5, **SEED), TIED, THREE),
    "ExtraTrees, number": (ensemble.ExtraTreesRegressor(15, **SEED), SMOOTH, NUMBER),
    "GradientBoosting": (ensemble.GradientBoostingClassifier(n_estimators=30, **SEED), TIED, BINARY),
    "GradientBoosting, exponential": (
        ensemble.GradientBoostingClassifier(loss="exponential", n_estimators=20, **SEED),
        SMOOTH,
        BINARY,
    ),
    "GradientBoosting, three classes": (ensemble.GradientBoostingClassifier(n_estimators=15, **SEED), TIED, THREE),
    "GradientBoosting, number": (ensemble.GradientBoostingRegressor(n_estimators=30, **SEED), SMOOTH, NUMBER),
    "GradientBoosting, quantile": (ensemble.GradientBoostingRegressor(loss="quantile", n_estimators=20, **SEED), TIED, NUMBER),
    "HistGradientBoosting": (HGBC(max_iter=40, **SEED), TIED, BINARY),
    "HistGradientBoosting, gaps": (HGBC(max_iter=40, **SEED), GAPS, BINARY),
    "HistGradientBoosting, three classes": (HGBC(max_iter=15, **SEED), GAPS, THREE),
    "HistGradientBoosting, categories": (HGBC(max_iter=30, categorical_features=LEVELS, **SEED), CODES, BINARY),
    "HistGradientBoosting, categories, three classes": (HGBC(max_iter=15, categorical_features=LEVELS, **SEED), CODES, THREE),
    "HistGradientBoosting, number": (HGBR(max_iter=30, **SEED), GAPS, NUMBER),
    "HistGradientBoosting, poisson": (HGBR(loss="poisson", max_iter=30, **SEED), SMOOTH, POSITIVE),
    "HistGradientBoosting, gamma": (HGBR(loss="gamma", max_iter=30, **SEED), GAPS, POSITIVE),
    "HistGradientBoosting, quantile": (HGBR(loss="quantile", quantile=0.8, max_iter=20, **SEED), SMOOTH, NUMBER),
    "HistGradientBoosting, categories, number": (HGBR(max_iter=30, categorical_features=LEVELS, **SEED), CODES, NUMBER),
}


def described(rows):
    return infer_columns({f"x{place}": rows[:, place] for place in range(rows.shape[1])})


def difficult(model, rows):
    """The rows themselves, others at every split point and one double to either side of it, with gaps, and with unseen codes."""
    columns = described(rows)
    contract = Contract(task="other", columns=columns, inputs=wire_inputs(columns, "FP64"), outputs=())
    found = [rows, *(tensors["input"] for _, tensors in threshold_rows(model, contract, {"input": rows}))]
    assert len(found) == 4
    if np.isnan(rows).any():
        for place in range(rows.shape[1]):
            if np.isnan(rows[:, place]).any():
                found.append(rows[:100].copy())
                found[-1][:, place] = np.nan
    if rows is CODES:
        for code in (12.0, 77.0, 5.5, -1.0, 1e9):
            found.append(rows[:40].copy())
            found[-1][:, 0] = code
    return columns, np.concatenate(found)


def compared(model, rows, target, within=1e-12):
    """Labels must be the same, and numbers within 1e-12 (of probability, or of the spread of the answers)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = model.fit(rows, target)
        columns, asked = difficult(model, rows)
        given = open_session(convert_sklearn_model(model, columns, "FP64"), device="cpu").run({"input": asked})
        if not hasattr(model, "classes_"):
            expected = model.predict(asked)
            np.testing.assert_allclose(given["prediction"] / np.std(target), expected / np.std(target), rtol=within, atol=within)
            return
        flips = int((given["label"] != model.predict(asked)).sum())
        assert flips == 0, f"{flips} of {len(asked)} labels"
        np.testing.assert_allclose(given["probabilities"], model.predict_proba(asked), rtol=0, atol=within)


@pytest.mark.parametrize("name", SKLEARN)
def test_scikit_learns_trees_keep_every_digit_at_their_thresholds(name):
    compared(*SKLEARN[name])


@pytest.mark.parametrize("options", [{}, {"contamination": 0.1}, {"max_features": 3}, {"max_samples": 1}], ids=str)
@pytest.mark.parametrize("rows", [TIED, GAPS], ids=["ties", "gaps"])
def test_isolation_forests_keep_every_digit_and_each_label_at_their_thresholds(options, rows):
    model = ensemble.IsolationForest(n_estimators=20, **SEED, **options).fit(rows)
    columns, asked = difficult(model, rows) if options != {"max_samples": 1} else (described(rows), rows)
    given = open_session(convert_sklearn_model(model, columns, "FP64"), device="cpu").run({"input": asked})
    assert given["label"].tolist() == model.predict(asked).tolist()
    np.testing.assert_allclose(given["scores"].ravel(), model.decision_function(asked), rtol=0, atol=1e-12)


@pytest.mark.skipif(not find_spec("xgboost"), reason="pip install 'prodml-magics[xgboost]'")
@pytest.mark.parametrize(
    ("kind", "options", "rows", "target"),
    [
        ("XGBClassifier", {}, TIED, BINARY),
        ("XGBClassifier", {}, GAPS, THREE),
        ("XGBRegressor", {}, GAPS, NUMBER),
        ("XGBRegressor", {"objective": "count:poisson"}, SMOOTH, POSITIVE),
        ("XGBRFClassifier", {"subsample": 0.8}, TIED, BINARY),
    ],
)
def test_xgboost_keeps_its_single_digits_at_its_thresholds(kind, options, rows, target):
    import xgboost

    compared(getattr(xgboost, kind)(n_estimators=30, max_depth=4, **options), rows, target, within=2.5e-7)


@pytest.mark.skipif(not find_spec("lightgbm"), reason="pip install 'prodml-magics[lightgbm]'")
@pytest.mark.parametrize(
    ("kind", "options", "rows", "target"),
    [
        ("LGBMClassifier", {}, TIED, BINARY),
        ("LGBMClassifier", {}, GAPS, THREE),
        ("LGBMClassifier", {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.7}, SMOOTH, BINARY),
        ("LGBMClassifier", {"categorical_feature": LEVELS}, CODES, BINARY),
        ("LGBMRegressor", {}, GAPS, NUMBER),
        ("LGBMRegressor", {"objective": "poisson"}, SMOOTH, POSITIVE),
    ],
)
def test_lightgbm_keeps_every_digit_at_its_thresholds(kind, options, rows, target):
    import lightgbm

    compared(getattr(lightgbm, kind)(n_estimators=30, verbose=-1, **options), rows, target)
