from __future__ import annotations

import numpy as np
import pytest

from prodml_magics.contract.check import check_tensors
from prodml_magics.contract.encode import encode_rows
from prodml_magics.errors import ContractError, InvalidInput

GOOD = np.array([[1, 2, 0], [3, np.nan, 1]], np.float32)


def test_good_tensors_are_counted(numeric, mixed, bare):
    assert check_tensors(numeric, {"input": GOOD}) == 2
    assert check_tensors(mixed, encode_rows(mixed, [{"price": 1, "city": None, "rooms": 2, "shop": "z"}])) == 1
    assert check_tensors(bare, {"image": np.ones((3, 2, 2), np.float32), "weight": np.arange(3)}) == 3


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"inputs": GOOD}, "no input tensor 'inputs'; did you mean 'input'"),
        ({"input": GOOD, "more": GOOD}, "no input tensor 'more'"),
        ({}, "input tensor 'input' is missing"),
        ({"input": GOOD.astype(np.float64)}, r"tensor 'input' is FP64; send FP32 \[-1, 3\]"),
        ({"input": GOOD.astype(np.complex64)}, "tensor 'input' is complex64"),
        ({"input": GOOD[:, :2]}, r"shape \[2, 2\]; send \[-1, 3\]"),
        ({"input": GOOD[0]}, r"shape \[3\]; send"),
        ({"input": GOOD[:0]}, "no rows"),
    ],
)
def test_a_tensor_of_the_wrong_form_is_invalid(numeric, tensors, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        check_tensors(numeric, tensors)
    assert not isinstance(caught.value, ContractError)


def test_tensors_of_unequal_rows_are_invalid(mixed):
    with pytest.raises(InvalidInput, match="differ in their number of rows"):
        check_tensors(mixed, {"numeric": np.ones((2, 2)), "categorical": np.array([["", "a"]], object)})


@pytest.mark.parametrize("value", [None, 5, b"a"])
def test_a_category_that_is_not_text_is_invalid(mixed, value):
    with pytest.raises(InvalidInput, match="'categorical' holds values that are not text"):
        check_tensors(mixed, {"numeric": np.ones((1, 2)), "categorical": np.array([["Bonn", value]], object)})


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((1, 0), np.nan, "column 'age' is missing .* in row 1"),
        ((0, 1), np.inf, "column 'income' is inf in row 0"),
        ((1, 2), -np.inf, "column 'member' is -inf in row 1"),
    ],
)
def test_a_value_that_is_not_finite_breaks_the_contract(numeric, place, value, message):
    table = GOOD.copy()
    table[place] = value
    with pytest.raises(ContractError, match=message):
        check_tensors(numeric, {"input": table})


def test_large_finite_values_whose_sum_overflows_pass(numeric):
    assert check_tensors(numeric, {"input": np.full((9, 3), 3e38, np.float32)}) == 9
