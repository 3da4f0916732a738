"""Transformers of our own beside scikit-learn's, on rows where digits are easily lost."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, PowerTransformer

from prodml_magics.contract.infer import infer_columns
from prodml_magics.inference.session import open_session
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


def test_a_step_that_does_nothing_is_left_out():
    rows = np.random.default_rng(0).normal(size=(50, 2))
    model = make_pipeline(make_pipeline(PolynomialFeatures(2), "passthrough"), "passthrough", LinearRegression()).fit(
        rows, rows[:, 0]
    )
    columns = infer_columns({"a": rows[:, 0], "b": rows[:, 1]})
    given = open_session(to_graph(model, columns, "FP64").SerializeToString(), device="cpu").run({"input": rows})
    np.testing.assert_allclose(next(iter(given.values())).ravel(), model.predict(rows), atol=1e-12)
