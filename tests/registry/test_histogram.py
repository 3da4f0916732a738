"""Histogram gradient boosting on codes of categories: the same answers for codes that are unseen, missing or no codes."""

from __future__ import annotations

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from registry.conversions import opened
from registry.here import Here
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from prodml_magics.contract.encode import encode_columns
from prodml_magics.contract.infer import infer_columns
from prodml_magics.inference.session import open_session
from prodml_magics.registry.build import build
from prodml_magics.registry.converters.sklearn import convert_sklearn_model
from prodml_magics.registry.frames import columns_of


def test_codes_that_no_row_had_go_where_missing_ones_go():
    generator = np.random.default_rng(0)
    codes = generator.choice([-3, 0, 2, 5, 9, 40, 77], 2000).astype(float)
    codes[::11] = np.nan
    rows = np.column_stack([generator.normal(size=2000), codes, generator.integers(0, 4, 2000)])
    target = (np.isin(codes, [0, 9, 77]) ^ (rows[:, 0] > 0)).astype(int)
    model = HistGradientBoostingClassifier(max_iter=20, categorical_features=[1, 2]).fit(rows, target)
    odd = [np.nan, -3, -1, 1, 5.5, 78, 300, 1e9]
    strange = np.column_stack([np.tile(rows[:50, 0], 8), np.repeat(odd, 50), np.tile(rows[:50, 2], 8)])
    asked = np.vstack([rows, strange])
    file = convert_sklearn_model(model, infer_columns(columns_of(rows)), "FP64")
    given = open_session(file, device="cpu").run({"input": asked})
    np.testing.assert_array_equal(given["label"], model.predict(asked))
    np.testing.assert_allclose(given["probabilities"], model.predict_proba(asked), rtol=0, atol=1e-14)


_generator = np.random.default_rng(1)
_TOWNS = np.array([f"town {place}" for place in _generator.permutation(30)])
LEVELS = pd.DataFrame(
    {
        "town": pd.Categorical(_generator.choice(_TOWNS, 900), categories=_TOWNS),
        "price": _generator.lognormal(size=900).astype(np.float32).astype(float),  # as they travel
        "size": pd.Categorical(np.array(["s", "m", None], object)[_generator.integers(0, 3, 900)], categories=["s", "m", "xl"]),
        "age": np.where(_generator.random(900) < 0.1, np.nan, _generator.normal(size=900).astype(np.float32)),
    }
)
HIT = (np.isin(LEVELS.town, _TOWNS[::3]) ^ (LEVELS.price > 1)).astype(int)
MODELS = {
    "two classes": (HistGradientBoostingClassifier(max_iter=30), HIT),
    "three classes": (HistGradientBoostingClassifier(max_iter=10), HIT + (LEVELS["size"] == "m").to_numpy(int)),
    "numbers": (HistGradientBoostingRegressor(max_iter=20), HIT * 3.0 + LEVELS.price),
    "counts": (HistGradientBoostingRegressor(max_iter=20, loss="poisson"), HIT + 1),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("table", [lambda frame: frame, pl.from_pandas], ids=["pandas", "polars"])
def test_categories_of_a_frame_are_codes_of_the_contract(name, table):
    model, target = MODELS[name]
    rows = table(LEVELS)
    model = clone(model).set_params(categorical_features="from_dtype").fit(rows, target)
    candidate = build(model, train=(rows, target), converter=Here())
    assert [table.column for table in candidate.contract.codes] == ["town", "size"]
    assert candidate.parity.kinds["threshold"] > 50
    asked = LEVELS.head(200).copy()
    asked["town"] = asked.town.cat.add_categories(["nowhere"]).mask(np.arange(200) % 5 == 0, "nowhere")
    asked["size"] = asked["size"].mask(np.arange(200) % 3 == 0)
    given = opened(candidate.model, candidate.contract).run(encode_columns(candidate.contract, columns_of(asked)))
    asked = asked if table(LEVELS) is LEVELS else table(asked)
    if "probabilities" in given:
        assert given["label"].tolist() == model.predict(asked).tolist()
        np.testing.assert_allclose(given["probabilities"], model.predict_proba(asked), rtol=0, atol=1e-7)
    else:
        np.testing.assert_allclose(given["prediction"], model.predict(asked), rtol=1e-6)


def _trees(**settings):
    return HistGradientBoostingClassifier(max_iter=8, categorical_features="from_dtype", **settings)


WRAPPED = {
    "calibration": CalibratedClassifierCV(_trees(), cv=2),
    "vote": VotingClassifier([("slow", _trees()), ("fast", _trees(learning_rate=0.3))], voting="soft"),
    "stack": StackingClassifier([("slow", _trees()), ("fast", _trees(learning_rate=0.3))], cv=2),
    "one against the rest": OneVsRestClassifier(_trees()),
    "threshold": FixedThresholdClassifier(_trees(), threshold=0.4),
    "vote in a stack": StackingClassifier(
        [("vote", VotingClassifier([("a", _trees()), ("b", _trees(max_depth=2))], voting="soft"))], cv=2
    ),
    "vote beside an encoder": VotingClassifier(
        [
            ("own", _trees()),
            ("encoded", make_pipeline(make_column_transformer((OneHotEncoder(), ["town"])), LogisticRegression())),
        ],
        voting="soft",
    ),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_categories_of_trees_in_a_wrapper_are_codes_of_the_contract(name):
    model = clone(WRAPPED[name]).fit(LEVELS, HIT)
    before = joblib.hash(model)
    candidate = build(model, train=(LEVELS, HIT), converter=Here())
    assert joblib.hash(model) == before, "the user's model is left as it is"
    assert [table.column for table in candidate.contract.codes] == ["town", "size"]
    asked = LEVELS.head(200).copy()
    asked["size"] = asked["size"].mask(np.arange(200) % 3 == 0)
    given = opened(candidate.model, candidate.contract).run(encode_columns(candidate.contract, columns_of(asked)))
    assert given["label"].tolist() == model.predict(asked).tolist()
    if "probabilities" in given:
        np.testing.assert_allclose(given["probabilities"], model.predict_proba(asked), rtol=0, atol=1e-6)


def test_numbers_of_trees_in_a_wrapper_are_predicted():
    target = HIT * 3.0 + LEVELS.price
    trees = HistGradientBoostingRegressor(max_iter=8, categorical_features="from_dtype")
    model = VotingRegressor([("a", trees), ("b", clone(trees).set_params(learning_rate=0.3))]).fit(LEVELS, target)
    candidate = build(model, train=(LEVELS, target), converter=Here())
    given = opened(candidate.model, candidate.contract).run(encode_columns(candidate.contract, columns_of(LEVELS)))
    np.testing.assert_allclose(given["prediction"], model.predict(LEVELS), rtol=1e-6)
