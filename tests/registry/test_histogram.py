"""Histogram gradient boosting on codes of categories: the same answers for codes that are unseen, missing or no codes."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from prodml_magics.contract.infer import infer_columns
from prodml_magics.inference.session import open_session
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
