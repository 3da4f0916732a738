"""Regressors of a transformed target: what turns predictions back is scikit-learn's own to the last digits."""

from __future__ import annotations

import numpy as np
import pytest
from registry.here import Here
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from prodml_magics.contract.infer import infer_columns
from prodml_magics.errors import Unsupported
from prodml_magics.inference.session import open_session
from prodml_magics.registry.build import build
from prodml_magics.registry.converters.sklearn import to_graph
from prodml_magics.registry.precision import precisions

WAYS = [
    {"func": np.log1p, "inverse_func": np.expm1},
    {"func": np.log, "inverse_func": np.exp},
    {"func": np.sqrt, "inverse_func": np.square},
    {"func": np.square, "inverse_func": np.sqrt},
    {"func": np.exp, "inverse_func": np.log},
    {"func": np.expm1, "inverse_func": np.log1p},
    {"func": np.reciprocal, "inverse_func": np.reciprocal},
    {"func": np.negative, "inverse_func": np.negative},
    {"func": lambda target: np.log(target) / np.log(2), "inverse_func": np.square, "check_inverse": False},
    {},
    {"transformer": StandardScaler()},
    {"transformer": StandardScaler(with_mean=False)},
    {"transformer": StandardScaler(with_std=False)},
    {"transformer": MinMaxScaler((-1, 3), clip=True)},
    {"transformer": FunctionTransformer(np.log1p, inverse_func=np.expm1)},
]
EXACT = {"RandomForest": RandomForestRegressor(3, random_state=0), "DecisionTree": DecisionTreeRegressor(random_state=0)}


def rows_and_target():
    generator = np.random.default_rng(5)
    rows = generator.normal(size=(400, 3))
    rows[generator.random(rows.shape) < 0.1] = np.nan
    return rows, np.exp(np.nan_to_num(rows[:, 0]) + generator.normal(scale=0.1, size=400))


def answers(model, rows):
    columns = infer_columns({f"x{place}": rows[:, place] for place in range(rows.shape[1])})
    graph = to_graph(model, columns, "FP64")
    (found,) = open_session(graph.SerializeToString(), device="cpu").run({"input": rows}).values()
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("inner", EXACT)
def test_predictions_are_turned_back_to_the_last_digits(way, inner):
    rows, target = rows_and_target()
    model = TransformedTargetRegressor(EXACT[inner], **way).fit(rows[:300], target[:300])
    asked = np.vstack([rows, rows * 3, np.full((1, 3), np.nan)])
    given, expected = answers(model, asked), model.predict(asked)
    assert given.shape == (len(asked), 1)
    np.testing.assert_allclose(given[:, 0], expected, rtol=4e-15, atol=4e-15)


def test_several_targets_are_turned_back_each_by_its_own():
    rows, target = rows_and_target()
    rows = np.nan_to_num(rows)
    both = np.column_stack([target, 100 - 7 * target])
    model = TransformedTargetRegressor(LinearRegression(), transformer=StandardScaler()).fit(rows, both)
    np.testing.assert_allclose(answers(model, rows), model.predict(rows), rtol=1e-12, atol=1e-12)


def test_trees_inside_are_asked_at_their_split_points():
    rows, target = rows_and_target()
    boosted = HistGradientBoostingRegressor(max_iter=10, random_state=0)
    model = make_pipeline(StandardScaler(), TransformedTargetRegressor(boosted, **WAYS[0])).fit(rows, target)
    assert precisions(model) == ("FP64",)
    parity = build(model, train=(rows, target), converter=Here()).parity
    assert parity.kinds["threshold"] > 100
    inner = make_pipeline(FunctionTransformer(np.expm1), boosted)
    model = TransformedTargetRegressor(inner, **WAYS[0]).fit(rows, target)
    with pytest.raises(Unsupported, match="the last digits of FunctionTransformer decide in trees"):
        build(model, train=(rows, target), converter=Here())


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ({"func": np.cbrt, "inverse_func": lambda target: target**3}, "with inverse_func <lambda>"),
        ({"transformer": MaxAbsScaler()}, "with transformer MaxAbsScaler"),
        (
            {"transformer": FunctionTransformer(np.log, inverse_func=np.exp, inv_kw_args={"where": True})},
            "with inverse_func exp with inv_kw_args",
        ),
    ],
)
def test_another_way_back_is_refused_with_those_that_there_are(way, said):
    rows, target = rows_and_target()
    model = TransformedTargetRegressor(DecisionTreeRegressor(max_depth=2), **way).fit(rows, target)
    with pytest.raises(
        Unsupported, match=rf"TransformedTargetRegressor {said}; take one of np\.log, .* or StandardScaler or MinMaxScaler"
    ):
        answers(model, rows)
