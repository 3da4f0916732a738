"""Our own tree exporter, every family: the last digit on rows that lie at split points, beside them, lack values or are unseen."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from registry.here import Here
from sklearn import ensemble, impute, preprocessing, tree
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline

from prodml_magics.contract.encode import encode_columns
from prodml_magics.contract.infer import infer_columns
from prodml_magics.contract.schema import Contract
from prodml_magics.inference.session import open_session
from prodml_magics.registry.build import build
from prodml_magics.registry.converters.sklearn import convert_sklearn_model
from prodml_magics.registry.frames import columns_of
from prodml_magics.registry.layout import wire_inputs
from prodml_magics.registry.parity import prove
from prodml_magics.registry.probes import make_probes
from prodml_magics.registry.reference import Reference
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


MIXED = pd.DataFrame(
    {
        "shop": np.array(["a", "b", "c"])[_generator.integers(0, 3, ROWS)],
        "price": SMOOTH[:, 0],
        "town": np.array(["Ulm", "Bonn"])[_generator.integers(0, 2, ROWS)],
        "rooms": np.where(np.isnan(GAPS[:, 1]), np.nan, SMOOTH[:, 1] * 1e4 + 1e6),
        "age": SMOOTH[:, 2] * 0.001,
    }
)


def columns_first(numbers, model, text=None):
    text = text or preprocessing.OneHotEncoder(handle_unknown="ignore")
    return make_pipeline(make_column_transformer((text, ["town", "shop"]), (numbers, ["age", "price", "rooms"])), model)


TRACED = {
    "as they are": columns_first("passthrough", HGBC(max_iter=20, **SEED)),
    "scaled": columns_first(preprocessing.StandardScaler(), HGBC(max_iter=20, **SEED)),
    "imputed and scaled": columns_first(
        make_pipeline(impute.SimpleImputer(), preprocessing.RobustScaler()), ensemble.RandomForestClassifier(10, **SEED)
    ),
    "with codes": columns_first(
        preprocessing.MinMaxScaler(),
        tree.DecisionTreeClassifier(**SEED),
        preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    ),
    "in a vote": ensemble.VotingClassifier(
        [
            ("a", columns_first(preprocessing.StandardScaler(), HGBC(max_iter=20, **SEED))),
            ("b", columns_first(impute.SimpleImputer(), tree.DecisionTreeClassifier(**SEED))),
        ],
        voting="soft",
    ),
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


def compared(model, rows, target):
    """How many labels differ, and how far numbers lie apart at most: of probability, or of the spread of the answers and their size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = model.fit(rows, target)
        columns, asked = difficult(model, rows)
        given = open_session(convert_sklearn_model(model, columns, "FP64"), device="cpu").run({"input": asked})
        if not hasattr(model, "classes_"):
            expected = model.predict(asked) / np.std(target)
            found = given["prediction"] / np.std(target)
            assert found.shape == expected.shape
            return 0, (np.abs(found - expected) / (1 + np.abs(expected))).max()
        expected = model.predict_proba(asked)
        assert given["probabilities"].shape == expected.shape
        flips = int((given["label"] != model.predict(asked)).sum())
        return flips, np.abs(given["probabilities"] - expected).max()


@pytest.mark.parametrize("name", SKLEARN)
def test_scikit_learns_trees_keep_every_digit_at_their_thresholds(name):
    flips, apart = compared(*SKLEARN[name])
    assert flips == 0
    assert apart <= 1e-12


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
    """To the last bit of a float32, which is what it sums and answers in."""
    import xgboost

    flips, apart = compared(getattr(xgboost, kind)(n_estimators=30, max_depth=4, **options), rows, target)
    assert flips == 0
    assert apart <= 1.2e-7


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

    flips, apart = compared(getattr(lightgbm, kind)(n_estimators=30, verbose=-1, **options), rows, target)
    assert flips == 0
    assert apart <= 1e-12


def asked_of(model, frame, precision):
    columns = infer_columns(columns_of(frame))
    contract = Contract(task="classification", columns=columns, inputs=wire_inputs(columns, precision), outputs=())
    return contract, Reference(model, "classifier", columns, frame), encode_columns(contract, columns_of(frame))


@pytest.mark.parametrize("name", ["as they are", "scaled", "imputed and scaled", "with codes"])
@pytest.mark.parametrize("precision", ["FP32", "FP64"])
def test_split_points_of_numbers_beside_text_are_traced_back_through_what_stands_in_front(name, precision):
    model = TRACED[name].fit(MIXED, BINARY)
    contract, reference, base = asked_of(model, MIXED, precision)
    found = [tensors for _, tensors in threshold_rows(model, contract, base, reference.table)]
    assert len(found) == 3
    features = np.asarray(model[0].transform(reference.table(contract, found[0])), float)
    trees = [tree for stage in model[-1]._predictors for tree in stage] if hasattr(model[-1], "_predictors") else None
    if trees:
        points = np.concatenate([np.column_stack([t.nodes["feature_idx"], t.nodes["num_threshold"]]) for t in trees])
    else:
        held = getattr(model[-1], "estimators_", [model[-1]])
        points = np.concatenate([np.column_stack([each.tree_.feature, each.tree_.threshold]) for each in held])
    within = (2.0**-21 if precision == "FP32" else 1e-15) * 64 if "scaled" in name else 2.0**-23
    on_one = 0
    for row in features:
        on_one += any(abs(row[int(f)] - t) <= within * max(abs(t), 1) for f, t in points if f >= 0)
    assert on_one == len(features)


@pytest.mark.parametrize("name", TRACED)
def test_mixed_rows_at_split_points_are_part_of_the_proof_and_exact(name):
    model = TRACED[name].fit(MIXED, BINARY)
    parity = build(model, train=(MIXED, BINARY), converter=Here()).parity
    assert parity.kinds["threshold"] > 30
    assert parity.differences["threshold"] < (1e-12 if parity.precision == "FP64" else 1e-6)


def test_a_float32_scaler_in_front_of_trees_does_not_pass_such_rows():
    """What the gate is for: on rows of the training data alone the two agree."""
    model = TRACED["scaled"].fit(MIXED, BINARY)
    contract, reference, base = asked_of(model, MIXED, "FP32")
    probes = make_probes(contract, reference, base, None)
    file = convert_sklearn_model(model, contract.columns, "FP32")
    parity, _ = prove(file, probes, "FP32", Here().run)
    assert parity.differences["threshold"] > 1e-5
    assert not parity.passed


def test_features_that_mix_columns_have_no_rows_at_split_points():
    numbers = MIXED[["price", "age"]]
    model = make_pipeline(preprocessing.PolynomialFeatures(2), tree.DecisionTreeClassifier(**SEED)).fit(numbers, BINARY)
    contract, reference, base = asked_of(model, numbers, "FP64")
    assert not list(threshold_rows(model, contract, base, reference.table))
