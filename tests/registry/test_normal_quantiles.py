"""Quantiles of the normal distribution, against scipy's own and scikit-learn's transformer."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.preprocessing import QuantileTransformer

from prodml_magics.contract.infer import infer_columns
from prodml_magics.inference.session import open_session
from prodml_magics.registry.converters.sklearn import to_graph
from prodml_magics.registry.frames import columns_of

_generator = np.random.default_rng(0)
ROWS = np.column_stack(
    [_generator.lognormal(size=3_000), _generator.integers(0, 4, 3_000), np.full(3_000, 2.5), _generator.normal(1e6, 1, 3_000)]
)


def converted(model, rows, precision="FP64"):
    session = open_session(to_graph(model, infer_columns(columns_of(ROWS)), precision).SerializeToString(), device="cpu")
    return next(iter(session.run({"input": rows.astype(np.float32 if precision == "FP32" else np.float64)}).values()))


@pytest.mark.parametrize("quantiles", [5, 100, 1_000])
def test_it_is_scikit_learns_at_beside_and_beyond_every_quantile(quantiles):
    model = QuantileTransformer(n_quantiles=quantiles, output_distribution="normal", random_state=0).fit(ROWS)
    at = model.quantiles_
    beside = [np.nextafter(at, np.inf), np.nextafter(at, -np.inf), at + 1e-7, at - 1e-7, at + 2e-7, at - 2e-7]
    rows = np.vstack([ROWS, 3 * ROWS, -ROWS, at, *beside, np.full((2, 4), np.nan)])
    given, wanted = converted(model, rows), model.transform(rows)
    np.testing.assert_array_equal(np.isnan(given), np.isnan(wanted))
    np.testing.assert_allclose(given, wanted, rtol=0, atol=4e-15)
    assert np.nanmax(np.abs(wanted)) == pytest.approx(5.199, abs=1e-3), "where scikit-learn cuts off"


def test_every_probability_has_scipys_quantile():
    from scipy.special import ndtri

    model = QuantileTransformer(n_quantiles=2, output_distribution="normal").fit(np.array([[0.0] * 4, [1.0] * 4]))
    tails = np.geomspace(2e-7, 0.5, 4_000)
    levels = np.concatenate([tails, 1 - tails, np.exp([-2.0]), 1 - np.exp([-2.0]), [0.5]])
    rows = np.repeat(levels[:, None], 4, axis=1)
    given = converted(model, rows)[:, 0]
    reached = clone(model).set_params(output_distribution="uniform").fit([[0.0] * 4, [1.0] * 4]).transform(rows)[:, 0]
    np.testing.assert_allclose(reached, levels, rtol=0, atol=1e-15)
    np.testing.assert_allclose(given, ndtri(reached), rtol=1e-14, atol=1e-15)
    assert given[-1] == 0


def test_in_floats_it_is_that_rounded():
    model = QuantileTransformer(n_quantiles=100, output_distribution="normal").fit(ROWS)
    rows = ROWS[:500].astype(np.float32)
    given = converted(model, rows, "FP32")
    assert given.dtype == np.float32
    np.testing.assert_array_equal(given, model.transform(rows.astype(np.float64)).astype(np.float32))
