"""A column of a request, whichever way it is kept: the same value is the same text."""

from __future__ import annotations

import numpy as np
import pytest

from prodml_magics.contract.columns import reader_of, value_of
from prodml_magics.contract.encode import encode_rows
from prodml_magics.contract.schema import Column, Contract, Tensor
from prodml_magics.errors import InvalidInput

CONTRACT = Contract(
    task="regression",
    columns=(
        Column(name="user", kind="numeric", dtype="int64", nullable=True),
        Column(name="country", kind="categorical", dtype="string", categories=("AT", "DE"), nullable=True),
        Column(name="member", kind="numeric", dtype="bool"),
        Column(name="price", kind="numeric", dtype="float64"),
    ),
    inputs=(Tensor(name="numeric", datatype="FP32", shape=(-1, 3)), Tensor(name="categorical", datatype="BYTES", shape=(-1, 1))),
    outputs=(Tensor(name="prediction", datatype="FP32", shape=(-1,)),),
)
ROW = {"user": 12, "country": "DE", "member": True, "price": 0.1}


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("user", 12, "12"),
        ("user", None, ""),
        ("country", "DE", "DE"),
        ("country", None, ""),
        ("price", 0.1, "0.1"),
        ("price", 3.0, "3"),
    ],
)
def test_the_first_row_says_the_value_as_text(column: str, value: object, text: str) -> None:
    rows = [{**ROW, column: value}, ROW]
    assert reader_of(CONTRACT, column, "--key").first(encode_rows(CONTRACT, rows)) == text


@pytest.mark.parametrize(
    ("column", "text", "other"),
    [("country", "DE", "AT"), ("user", "12", 13), ("user", "1.2e1", None), ("member", "true", False), ("price", "0.1", 0.2)],
)
def test_every_row_has_to_have_the_value(column: str, text: str, other: object) -> None:
    wanted = value_of(CONTRACT, column, text, "--segment")
    assert wanted.in_every_row(encode_rows(CONTRACT, [ROW, ROW]))
    assert not wanted.in_every_row(encode_rows(CONTRACT, [ROW, {**ROW, column: other}]))


@pytest.mark.parametrize(
    ("column", "text", "said"),
    [
        ("contry", "DE", "--segment: the model has no column 'contry'; did you mean 'country'?"),
        ("country", "CH", "--segment: country never was 'CH' in training; known are 'AT', 'DE'"),
        ("user", "ann", "--segment: user is a number, not 'ann'; write user=1"),
    ],
)
def test_what_no_row_can_have_is_one_line(column: str, text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        value_of(CONTRACT, column, text, "--segment")
    assert str(caught.value) == said


def test_a_model_without_named_columns_has_none_to_split_by() -> None:
    bare = Contract(task="other", columns=(), inputs=CONTRACT.inputs[:1], outputs=CONTRACT.outputs)
    with pytest.raises(InvalidInput, match="--key user needs named columns, which the model has not"):
        reader_of(bare, "user", "--key")
    assert np.isnan(encode_rows(CONTRACT, [{**ROW, "user": None}])["numeric"][0, 0])
