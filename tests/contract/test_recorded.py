"""What was recorded becomes the tensors that were sent."""

from __future__ import annotations

import numpy as np
import pytest

from prodml_magics.contract.encode import decode_columns
from prodml_magics.contract.recorded import recorded_tensors
from prodml_magics.contract.schema import Contract, Tensor
from prodml_magics.errors import ContractError


def as_recorded(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Numbers as the lake keeps them."""
    return {name: values if values.dtype.kind == "O" else values.astype(np.float64) for name, values in columns.items()}


def test_mixed_columns_come_back_with_their_missing_categories(mixed: Contract) -> None:
    sent = {
        "numeric": np.array([[1.5, 2.0], [3.5, 4.0]]),
        "categorical": np.array([["Bonn", "a"], ["", "b"]], object),
    }
    found = recorded_tensors(mixed, as_recorded(decode_columns(mixed, sent)))
    assert found.keys() == sent.keys() and found["numeric"].dtype == np.float64
    assert all((found[name] == sent[name]).all() for name in sent)


def test_numbers_keep_the_datatype_of_the_wire_and_their_holes(numeric: Contract) -> None:
    sent = {"input": np.array([[1, np.nan, 0], [2, 0.25, 1]], np.float32)}
    found = recorded_tensors(numeric, as_recorded(decode_columns(numeric, sent)))
    assert found["input"].dtype == np.float32 and np.array_equal(found["input"], sent["input"], equal_nan=True)


def test_tensors_without_columns_get_their_shape_back(bare: Contract) -> None:
    sent = {"image": np.arange(12, dtype=np.float32).reshape(3, 2, 2), "weight": np.array([1, 2, 3])}
    found = recorded_tensors(bare, as_recorded(decode_columns(bare, sent)))
    assert all((found[name] == sent[name]).all() and found[name].shape == sent[name].shape for name in sent)
    assert found["weight"].dtype == np.int64


def test_what_was_not_recorded_or_has_no_shape_is_one_line(numeric: Contract) -> None:
    with pytest.raises(ContractError, match="column 'income' was not recorded; replay a version with"):
        recorded_tensors(numeric, {"age": np.zeros(2), "member": np.zeros(2)})
    ragged = Contract(task="other", columns=(), inputs=(Tensor(name="words", datatype="INT64", shape=(-1, -1)),), outputs=())
    with pytest.raises(ContractError, match="'words' has rows of any shape"):
        recorded_tensors(ragged, {"words_0": np.zeros(2)})
