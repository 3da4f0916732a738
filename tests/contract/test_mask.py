from __future__ import annotations

import numpy as np
import pytest

from prodml_magics.contract.encode import decode_columns
from prodml_magics.contract.mask import check_mask, masked
from prodml_magics.contract.schema import Column, Contract, Tensor
from prodml_magics.errors import InvalidInput

CONTRACT = Contract(
    task="regression",
    columns=(
        Column(name="age", kind="numeric", dtype="float64"),
        Column(name="email", kind="categorical", dtype="string"),
        Column(name="income", kind="numeric", dtype="float64"),
        Column(name="city", kind="categorical", dtype="string", nullable=True),
    ),
    inputs=(
        Tensor(name="numeric", datatype="FP32", shape=(-1, 2)),
        Tensor(name="categorical", datatype="BYTES", shape=(-1, 2)),
    ),
    outputs=(),
)


def tensors() -> dict[str, np.ndarray]:
    texts = np.array([["a@b.c", "Bern"], ["d@e.f", "Chur"]], object)
    return {"numeric": np.array([[41, 3], [42, 4]], np.float32), "categorical": texts}


def test_masked_columns_are_missing_and_the_others_as_they_were() -> None:
    given = tensors()
    found = decode_columns(CONTRACT, masked(CONTRACT, given, ("email", "income")))
    assert found["email"].tolist() == [None, None]
    assert np.isnan(found["income"]).all()
    assert found["age"].tolist() == [41, 42]
    assert found["city"].tolist() == ["Bern", "Chur"]
    assert given["categorical"][0, 0] == "a@b.c", "what the model sees is left alone"
    assert given["numeric"][0, 1] == 3


def test_nothing_is_copied_without_need() -> None:
    given = tensors()
    assert masked(CONTRACT, given, ())["numeric"] is given["numeric"]
    assert masked(CONTRACT, given, ("email",))["numeric"] is given["numeric"]


def test_a_column_that_is_not_there_is_refused_with_the_nearest() -> None:
    check_mask(CONTRACT, ("email",), "shop")
    with pytest.raises(InvalidInput, match="shop has no column 'e-mail' to mask; did you mean"):
        check_mask(CONTRACT, ("e-mail",), "shop")
    with pytest.raises(InvalidInput, match="no named columns"):
        check_mask(Contract(task="other", columns=(), inputs=(), outputs=()), ("email",), "shop")
