"""Tables of encoders folded into linear models: the same answers, and no column for every level."""

from __future__ import annotations

import numpy as np
import onnx
import pandas as pd
import pytest
from registry.conversions import opened
from registry.here import Here
from sklearn import compose, linear_model, model_selection, neural_network, svm
from sklearn import preprocessing as prep
from sklearn.pipeline import make_pipeline as pipe

from prodml_magics.contract.encode import encode_columns
from prodml_magics.registry.build import build
from prodml_magics.registry.frames import columns_of

_generator = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "price": _generator.normal(size=400),
        "city": np.array([f"city {place}" for place in range(12)])[_generator.integers(0, 12, 400)],
        "rooms": _generator.normal(size=400),
        "shop": np.array([f"shop {place}" for place in range(9)])[_generator.integers(0, 9, 400)],
    }
)
TWO = ((FRAME.price > 0) ^ FRAME.city.isin(["city 1", "city 4"])).to_numpy(int)
THREE = TWO + FRAME.shop.isin(["shop 3", "shop 5"]).to_numpy(int)
AMOUNT = FRAME.price.to_numpy() * 3 + FRAME.city.str.len().to_numpy()
ONE_HOT = prep.OneHotEncoder(handle_unknown="ignore")
DROPPED = prep.OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=35, drop="first")
LR = linear_model.LogisticRegression


def before(model, *more, numbers="passthrough", text=ONE_HOT):
    columns = compose.make_column_transformer((numbers, ["price", "rooms"]), (text, ["city", "shop"]))
    return pipe(columns, *more, model)


FOLDED = {
    "of two classes": (before(LR()), TWO, "GatherElements"),
    "of scaled numbers": (before(LR(), numbers=prep.StandardScaler()), TWO, "GatherElements"),
    "of three classes": (before(LR()), THREE, "Gather"),
    "of text labels": (before(LR()), np.array(["no", "yes"])[TWO], "GatherElements"),
    "with levels dropped and taken together": (before(LR(), text=DROPPED), TWO, "GatherElements"),
    "with a table of numbers that are not 0 and 1": (
        before(LR(), text=pipe(ONE_HOT, prep.StandardScaler(with_mean=False))),
        TWO,
        "GatherElements",
    ),
    "of a support vector machine": (before(svm.LinearSVC()), TWO, "GatherElements"),
    "of a regressor": (before(linear_model.Ridge()), AMOUNT, "GatherElements"),
    "by a matrix product": (before(linear_model.SGDClassifier(loss="log_loss", random_state=0)), TWO, "GatherElements"),
    "in double": (
        model_selection.FixedThresholdClassifier(before(LR()), threshold=0.4, response_method="predict_proba"),
        TWO,
        "GatherElements",
    ),
    "into a narrow layer": (before(neural_network.MLPClassifier((4,), max_iter=50, random_state=0)), TWO, "Gather"),
    "with text first": (
        pipe(compose.make_column_transformer((ONE_HOT, ["shop", "city"]), ("passthrough", ["price"])), LR()),
        TWO,
        "GatherElements",
    ),
    "of two encoders": (
        pipe(
            compose.make_column_transformer((ONE_HOT, ["shop"]), ("passthrough", ["price"]), (DROPPED, ["city"])),
            LR(),
        ),
        TWO,
        "GatherElements",
    ),
    "of text alone": (pipe(compose.make_column_transformer((ONE_HOT, ["shop", "city"])), LR()), TWO, "GatherElements"),
}
LEFT = {
    "a wide layer": before(neural_network.MLPClassifier((16,), max_iter=50, random_state=0)),
    "a scaler of everything": before(LR(), prep.StandardScaler(with_mean=False)),
}


def converted(model, target):
    with np.errstate(all="ignore"):
        fitted = model.fit(FRAME, target)
    candidate = build(fitted, train=(FRAME, target), converter=Here())
    rows = FRAME.copy()
    rows.loc[:20, "city"], rows.loc[10:30, "shop"] = "another", "one more"
    tensors = encode_columns(candidate.contract, columns_of(rows))
    operators = [node.op_type for node in onnx.load_from_string(candidate.model).graph.node]
    return fitted, rows, opened(candidate.model, candidate.contract).run(tensors), operators


def compare(model, rows, given):
    if hasattr(model, "predict_proba"):
        np.testing.assert_allclose(given["probabilities"], model.predict_proba(rows), atol=1e-5, rtol=0)
    if "label" in given:
        assert given["label"].tolist() == model.predict(rows).tolist()
    else:
        np.testing.assert_allclose(given["prediction"], model.predict(rows), rtol=1e-5)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Found unknown categories")
@pytest.mark.parametrize("name", FOLDED)
def test_what_each_level_adds_is_looked_up(name):
    model, target, operator = FOLDED[name]
    fitted, rows, given, operators = converted(model, target)
    assert operator in operators
    assert "Equal" not in operators
    compare(fitted, rows, given)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Found unknown categories")
@pytest.mark.parametrize("name", LEFT)
def test_where_it_gains_nothing_or_something_stands_between_columns_are_made(name):
    fitted, rows, given, operators = converted(LEFT[name], TWO)
    assert "Equal" in operators
    compare(fitted, rows, given)


@pytest.mark.filterwarnings("ignore:Found unknown categories")
def test_so_many_levels_that_columns_side_by_side_would_be_large_lie_one_behind_another():
    levels = [f"id {place}" for place in range(40_000)]
    frame = pd.DataFrame({"id": levels, "side": ["a", "b"] * 20_000})
    target = (np.arange(40_000) % 3 == 0).astype(int)
    ordinal = prep.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    model = pipe(ordinal, prep.MinMaxScaler(), LR(max_iter=20)).fit(frame, target)
    candidate = build(model, train=(frame, target), converter=Here())
    assert "Gather" in [node.op_type for node in onnx.load_from_string(candidate.model).graph.node]
    given = opened(candidate.model, candidate.contract).run(encode_columns(candidate.contract, columns_of(frame[::50])))
    np.testing.assert_allclose(given["probabilities"], model.predict_proba(frame[::50]), atol=1e-5, rtol=0)
