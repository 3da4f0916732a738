"""Transformers of our own beside scikit-learn's, on rows where digits are easily lost."""

from __future__ import annotations

import numpy as np
import pytest
from registry.here import Here
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, PowerTransformer, QuantileTransformer

from prodml_magics.contract.infer import infer_columns
from prodml_magics.errors import Unsupported
from prodml_magics.inference.session import open_session
from prodml_magics.registry.build import build
from prodml_magics.registry.converters.functions import FUNCTIONS, ROUNDED
from prodml_magics.registry.converters.sklearn import to_graph


def made(transformer, rows, precision="FP64"):
    """What a graph of the transformer alone makes of rows."""
    columns = infer_columns({f"x{place}": rows[:, place] for place in range(rows.shape[1])})
    graph = to_graph(transformer, columns, precision)
    dtype = np.float64 if precision == "FP64" else np.float32
    (found,) = open_session(graph.SerializeToString(), device="cpu").run({"input": rows.astype(dtype)}).values()
    return found


@pytest.mark.parametrize("options", [{"degree": 3}, {"degree": (2, 4), "include_bias": False}, {"interaction_only": True}])
def test_products_are_the_same_to_the_last_bit(options):
    rows = np.random.default_rng(0).normal(scale=1e3, size=(200, 4))
    transformer = PolynomialFeatures(**options).fit(rows)
    np.testing.assert_array_equal(made(transformer, rows), transformer.transform(rows))
    single = rows.astype(np.float32)
    np.testing.assert_array_equal(made(transformer, rows, "FP32"), transformer.transform(single.astype(float)).astype(np.float32))


@pytest.mark.parametrize("lambdas", [(0.0, 1.0, 2.0), (-1.5, 0.5, 3.0), (1e-3, 2 + 1e-3, 2 - 1e-9)])
@pytest.mark.parametrize("standardize", [True, False])
def test_powers_lose_no_digits_near_zero_and_keep_gaps(lambdas, standardize):
    generator = np.random.default_rng(1)
    rows = np.concatenate([generator.normal(size=(300, 3)) * 10.0 ** generator.integers(-18, 3, (300, 1)), np.zeros((1, 3))])
    rows[5, 1] = np.nan
    transformer = PowerTransformer(standardize=standardize).fit(np.nan_to_num(rows))
    transformer.lambdas_ = np.array(lambdas)
    given, expected = made(transformer, rows), transformer.transform(rows)
    np.testing.assert_allclose(given, expected, rtol=2e-14, atol=1e-14 if standardize else 0)


def test_the_powers_of_box_and_cox_are_those_of_scipy():
    rows = np.random.default_rng(2).lognormal(sigma=2, size=(300, 2))
    transformer = PowerTransformer(method="box-cox", standardize=False).fit(rows)
    for lambdas in ((0.0, -0.7), (1.0, 2.5)):
        transformer.lambdas_ = np.array(lambdas)
        np.testing.assert_allclose(made(transformer, rows), transformer.transform(rows), rtol=2e-14)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_those_of_numpy_near_zero_and_one_at_the_ends_and_beyond(name):
    generator, function = np.random.default_rng(4), getattr(np, name)
    sizes = generator.normal(size=(3000, 2)) * 10.0 ** generator.integers(-18, 4, (3000, 1))
    beside = 1 + generator.normal(size=(500, 2)) * 10.0 ** generator.integers(-15, 0, (500, 1))
    ends = [0, -0.0, 1, -1, 5e-324, 1e-310, 1e308, 1e16, 709.7, 709.79, -36.5, -37.5, -720, -746, -1.5, np.inf, np.nan]
    ends += [-end for end in ends]
    rows = np.vstack([sizes, beside, -beside, np.column_stack([ends, ends[::-1]])])
    transformer = FunctionTransformer(function).fit(rows)
    with np.errstate(all="ignore"):
        given, expected = made(transformer, rows), transformer.transform(rows)
        single = transformer.transform(rows.astype(np.float32).astype(float)).astype(np.float32)
    if name in ROUNDED:
        np.testing.assert_allclose(given, expected, rtol=2e-15, atol=1e-323)
    else:
        np.testing.assert_array_equal(given, expected)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(made(transformer, rows, "FP32"), single, rtol=2e-7, atol=1e-44)


def test_a_function_that_is_none_of_numpys_is_refused_with_those_that_are():
    rows = np.ones((5, 2))
    with pytest.raises(
        Unsupported, match=r"FunctionTransformer of cbrt; take one of np\.log, np\.log1p.* or put its work into the data"
    ):
        made(FunctionTransformer(np.cbrt), rows)
    with pytest.raises(Unsupported, match=r"FunctionTransformer of log with kw_args; take"):
        made(FunctionTransformer(np.log, kw_args={"where": True}), rows)


def test_a_step_that_does_nothing_is_left_out():
    rows = np.random.default_rng(0).normal(size=(50, 2))
    model = make_pipeline(make_pipeline(PolynomialFeatures(2), "passthrough"), "passthrough", LinearRegression()).fit(
        rows, rows[:, 0]
    )
    columns = infer_columns({"a": rows[:, 0], "b": rows[:, 1]})
    given = open_session(to_graph(model, columns, "FP64").SerializeToString(), device="cpu").run({"input": rows})
    np.testing.assert_allclose(next(iter(given.values())).ravel(), model.predict(rows), atol=1e-12)


@pytest.mark.filterwarnings("ignore:n_quantiles")
@pytest.mark.parametrize("quantiles", [1, 2, 10, 1000])
def test_quantiles_are_the_same_to_the_last_bit_on_repeated_ones_beside_them_and_beyond(quantiles):
    generator = np.random.default_rng(2)
    rows = np.column_stack(
        [generator.normal(size=2000), np.round(generator.normal(size=2000), 1), generator.integers(0, 3, 2000), np.ones(2000)]
    )
    transformer = QuantileTransformer(n_quantiles=quantiles).fit(rows)
    on = transformer.quantiles_
    asked = np.vstack([rows, on, np.nextafter(on, 9), np.nextafter(on, -9), rows[:50] * 100, np.full((1, 4), np.nan)])
    np.testing.assert_array_equal(made(transformer, asked), transformer.transform(asked))


def test_a_thousand_quantiles_in_front_of_trees_are_converted_at_once():
    generator = np.random.default_rng(3)
    rows = generator.normal(size=(1500, 6))
    target = (rows[:, 0] + rows[:, 1] > 0).astype(int)
    model = make_pipeline(QuantileTransformer(), RandomForestClassifier(10, random_state=0)).fit(rows, target)
    parity = build(model, train=(rows, target), converter=Here()).parity
    assert (parity.precision, parity.max_abs_difference) == ("FP64", 0.0)
