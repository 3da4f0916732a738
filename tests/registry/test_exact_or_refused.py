"""The law of conversion: whatever the model, the ONNX file answers as scikit-learn does, or there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from registry.cases import CASES as OF_SKLEARN
from registry.cases import VECTORISERS, load
from registry.cases_libraries import CASES as OF_LIBRARIES
from registry.cases_libraries import CATBOOST, LIGHTGBM, XGBOOST
from registry.conversions import opened, proved
from registry.page import page

from prodml_magics.contract.encode import encode_columns
from prodml_magics.contract.infer import infer_columns
from prodml_magics.errors import GateRefused, Unsupported
from prodml_magics.registry.converters.sklearn import convert_sklearn_model
from prodml_magics.registry.frames import columns_of

CASES = [*OF_SKLEARN, *OF_LIBRARIES]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_conversion_is_exact_or_refused(case):
    if case.outcome in ("refused", "unsupported"):
        with pytest.raises(GateRefused if case.outcome == "refused" else Unsupported, match=r"\A[^\n]{20,900}\Z"):
            proved(case)
        return
    result, reference = proved(case)
    assert result.parity.precision == case.outcome
    tensors = encode_columns(result.contract, columns_of(load(case.data).fresh))
    expected = reference.answer(result.contract, tensors)
    given = opened(result.model, result.contract).run(tensors)
    assert given.keys() == expected.keys()
    for name, values in expected.items():
        if name == "label":
            assert given[name].tolist() == values.tolist()
        else:
            scale = 1 if name == "probabilities" else np.abs(values).max() or 1
            np.testing.assert_allclose(given[name] / scale, values / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize("vectoriser", VECTORISERS)
def test_text_vectorisers_are_refused(vectoriser):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts = ["it's a dog", "a cat", "isn't it"]
    model = make_pipeline(vectoriser(), LogisticRegression()).fit(texts, [0, 1, 0])
    columns = infer_columns({"text": np.array(texts, object)})
    with pytest.raises(Unsupported, match=f"{vectoriser.__name__} cannot be converted exactly"):
        convert_sklearn_model(model, columns, "FP32")


def test_every_known_silent_case_is_in_the_table():
    assert sum(case.silent for case in OF_SKLEARN) == 19
    assert sum(case.silent for case in (*XGBOOST, *LIGHTGBM, *CATBOOST)) == 8
    assert len({case.name for case in CASES}) == len(CASES) > 150


def test_the_page_of_what_converts_is_written_from_these_tables():
    """Stale: python tests/registry/page.py > docs/conversion.md"""
    assert (Path(__file__).parents[2] / "docs" / "conversion.md").read_text() == page()
