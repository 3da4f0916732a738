from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from prodml_magics.contract.encode import decode_columns, encode_columns, encode_rows, output_columns, widen
from prodml_magics.errors import ContractError, InvalidInput

ROW = {"age": 41, "income": 1200.5, "member": True}
HOME = {"price": 1e5, "city": "Bonn", "rooms": 3, "shop": "a"}


def test_rows_become_one_tensor_in_the_order_of_the_contract(numeric):
    tensors = encode_rows(numeric, [{"member": False, "income": None, "age": 7}, ROW])
    assert list(tensors) == ["input"]
    assert tensors["input"].dtype == np.float32
    np.testing.assert_array_equal(tensors["input"], [[7, np.nan, 0], [41, 1200.5, 1]])


def test_mixed_rows_become_numbers_and_text(mixed):
    tensors = encode_rows(mixed, [HOME, HOME | {"city": None}])
    np.testing.assert_array_equal(tensors["numeric"], [[1e5, 3], [1e5, 3]])
    assert tensors["numeric"].dtype == np.float64
    assert tensors["categorical"].tolist() == [["Bonn", "a"], ["", "a"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"age": "41"}, r"column 'age' is '41' \(str\) in row 1; send a number"),
        ({"age": True}, r"column 'age' is True \(bool\) in row 1; send a number"),
        ({"age": None}, r"column 'age' is missing .* in row 1"),
        ({"age": [1]}, r"column 'age' is \[1\] \(list\) in row 1"),
        ({"age": 10**400}, r"column 'age' is 1000.* in row 1; send a number that fits"),
        ({"income": float("inf")}, r"column 'income' is inf in row 1"),
        ({"income": 1e39}, r"column 'income' is 1e\+39, too large for FP32, in row 1"),
        ({"member": 2}, r"column 'member' is 2 \(int\) in row 1; send true or false"),
        ({"agee": 3}, r"column 'agee' in row 1 is not one of the model's; did you mean 'age'\?"),
    ],
)
def test_a_bad_value_is_refused_by_column_row_and_value(numeric, change, message):
    with pytest.raises(ContractError, match=message):
        encode_rows(numeric, [ROW, ROW | change])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"city": 5}, r"column 'city' is 5 \(int\) in row 0; send text"),
        ({"shop": None}, r"column 'shop' is null \(NoneType\) in row 0"),
        ({"shop": "\ud800"}, r"column 'shop' .* valid Unicode"),
    ],
)
def test_a_bad_category_is_refused(mixed, change, message):
    with pytest.raises(ContractError, match=message):
        encode_rows(mixed, [HOME | change])


def test_a_missing_column_is_named(numeric):
    with pytest.raises(ContractError, match="column 'income' is missing in row 0"):
        encode_rows(numeric, [{"age": 1, "member": True}])


@pytest.mark.parametrize("rows", [[], [[1, 2, 3]]])
def test_no_rows_and_unnamed_rows_are_refused(numeric, rows):
    with pytest.raises(InvalidInput):
        encode_rows(numeric, rows)


def test_named_rows_need_named_columns(bare):
    with pytest.raises(InvalidInput, match="image, weight"):
        encode_rows(bare, [{"image": 1}])


def test_columns_and_rows_give_the_same_tensors(mixed):
    rows = [HOME, HOME | {"city": None, "rooms": 4}, HOME | {"city": "Köln", "price": 0.1}]
    columns = {name: np.array([row[name] for row in rows], object if name in ("city", "shop") else None) for name in HOME}
    by_row, by_column = encode_rows(mixed, rows), encode_columns(mixed, columns)
    for name in by_row:
        np.testing.assert_array_equal(by_row[name], by_column[name])
        assert by_row[name].dtype == by_column[name].dtype


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array(["1", "2"]), r"column 'age' is '1' \(str\) in row 0"),
        (np.array([1, np.nan]), r"column 'age' is missing .* in row 1"),
        (np.array([1, -np.inf]), r"column 'age' is -inf in row 1"),
        (np.array([1, 1e39]), r"column 'age' is 1e\+39, too large"),
        (np.array([True, False]), r"column 'age' is True \(bool\)"),
        (np.array(["2020-01-01", "2021-01-01"], "datetime64[D]"), r"column 'age' is datetime"),
    ],
)
def test_a_bad_column_is_refused(numeric, values, message):
    with pytest.raises(ContractError, match=message):
        encode_columns(numeric, {"age": values, "income": np.ones(2), "member": np.array([True, False])})


def test_columns_of_unequal_length_are_refused(numeric):
    with pytest.raises(InvalidInput, match=re.escape("'age': 2")):
        encode_columns(numeric, {"age": np.ones(2), "income": np.ones(3), "member": np.ones(2, bool)})


def test_every_missing_value_of_pandas_is_a_null(mixed):
    cities = pd.Series(["Bonn", None, float("nan"), pd.NA], dtype=object).to_numpy()
    columns = {"price": np.ones(4), "city": cities, "rooms": np.ones(4), "shop": np.array(["a"] * 4)}
    assert encode_columns(mixed, columns)["categorical"][:, 0].tolist() == ["Bonn", "", "", ""]


def test_decoding_gives_the_columns_back(mixed):
    columns = decode_columns(mixed, encode_rows(mixed, [HOME, HOME | {"city": None}]))
    assert list(columns) == ["price", "city", "rooms", "shop"]
    assert columns["city"].tolist() == ["Bonn", None]
    assert columns["rooms"].tolist() == [3, 3]


def test_tensors_without_columns_are_flattened(bare):
    tensors = {"image": np.arange(8, dtype=np.float32).reshape(2, 2, 2), "weight": np.array([7, 8])}
    columns = decode_columns(bare, tensors)
    assert list(columns) == ["image_0", "image_1", "image_2", "image_3", "weight"]
    assert columns["image_3"].tolist() == [3, 7]


def test_outputs_are_named_after_the_classes(numeric, bare):
    columns = output_columns(numeric, {"label": np.array(["yes"], object), "probabilities": np.array([[0.2, 0.8]], np.float32)})
    assert list(columns) == ["label", "probability_no", "probability_yes"]
    assert columns["probability_yes"] == np.float32(0.8)
    assert list(output_columns(bare, {"embedding": np.ones((1, 3), np.float32)})) == ["embedding_0", "embedding_1", "embedding_2"]


def test_widening_is_exact_and_only_where_the_contract_has_doubles(mixed, numeric):
    narrow = {"numeric": np.array([[0.1, 2]], np.float32), "categorical": np.array([["", "a"]], object)}
    wide = widen(mixed, narrow)
    assert wide["numeric"].dtype == np.float64
    assert wide["numeric"][0, 0] == float(np.float32(0.1))
    assert widen(numeric, {"input": np.ones((1, 3), np.float32)})["input"].dtype == np.float32
