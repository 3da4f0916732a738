"""The short way of decoding and encoding gives what the long way gives, whatever the values."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from prodml_magics.contract.schema import Contract, Tensor
from prodml_magics.errors import InvalidInput
from prodml_magics.serving.openinference import InferRequest, decode_request, encode_response
from prodml_magics.serving.plain import PlainAnswers, plain_form
from prodml_magics.serving.requests import Answer, Outputs


def contract(datatype: str = "FP32", width: int = 3) -> Contract:
    return Contract(task="other", columns=(), inputs=(Tensor(name="input", datatype=datatype, shape=(-1, width)),), outputs=())


def outputs(rows: int) -> st.SearchStrategy[dict[str, np.ndarray]]:
    numbers = st.sampled_from([np.float32, np.float64, np.int64, np.int8, np.bool_])
    shapes = st.sampled_from([(rows,), (rows, 1), (rows, 3), (rows, 2, 2)])
    texts = npst.arrays(object, st.sampled_from([(rows,), (rows, 2)]), elements=st.text(), fill=st.nothing())
    arrays = st.one_of(st.builds(lambda dtype, shape: (dtype, shape), numbers, shapes).flatmap(lambda p: npst.arrays(*p)), texts)
    names = st.text(min_size=1, max_size=8)
    return st.dictionaries(names, arrays, min_size=1, max_size=3)


@given(data=st.data(), rows=st.integers(1, 4))
def test_one_row_answers_have_the_bytes_of_the_long_way(data: st.DataObject, rows: int) -> None:
    values = data.draw(outputs(rows))
    ids = data.draw(st.lists(st.text(), min_size=rows, max_size=rows))
    answers = PlainAnswers(b'"model_name":"m","model_version":"1"', "live", list(values))
    for _ in range(2):  # what was put together for the first is used by the second
        bodies = answers.bodies(ids, values)
    shared = Outputs(values)
    for row, (body, request_id) in enumerate(zip(bodies, ids, strict=True)):
        head = b'{"model_name":"m","model_version":"1","id":%b,"parameters":{"arm":"live"}' % _quoted(request_id)
        long, _ = encode_response(head, Answer(shared, row, row + 1), list(values), InferRequest("", {}, {}, False), contract())
        assert body == long


def _quoted(text: str) -> bytes:
    import msgspec

    return msgspec.json.encode(text)


FLOATS = st.one_of(st.floats(), st.integers(-(2**70), 2**70), st.sampled_from([1e39, -1e39, 3.5e38, 1e-46]))


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
@given(values=st.lists(FLOATS, max_size=9), shape=st.sampled_from([[1, 3], [2, 3], [3, 3], [3, 1], [3], [0, 3]]))
def test_a_plain_request_is_decoded_as_the_long_way_does_or_left_to_it(
    datatype: str, values: list[Any], shape: list[int]
) -> None:
    form = plain_form(contract(datatype))
    assert form is not None
    body = json.dumps({"inputs": [{"name": "input", "shape": shape, "datatype": datatype, "data": values}], "id": "é"}).encode()
    found = form.decode(body)
    if found is None:
        return
    request_id, packed, rows = found
    long = decode_request(body)
    assert (request_id, rows) == (long.id, shape[0])
    array = form.array(packed)
    np.testing.assert_array_equal(array, long.tensors["input"])
    assert array.dtype == long.tensors["input"].dtype
    assert np.isfinite(array).all()


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [1, 2, 3], [0.1, -5, 1e38]])
def test_ordinary_rows_are_plain(values: list[Any]) -> None:
    form = plain_form(contract())
    body = {"inputs": [{"name": "input", "shape": [1, 3], "datatype": "FP32", "data": values}]}
    assert form is not None and form.decode(json.dumps(body).encode()) is not None


@pytest.mark.parametrize(
    "inputs", [(), (Tensor(name="x", datatype="INT64", shape=(-1, 3)),), (Tensor(name="x", datatype="FP32", shape=(-1, -1)),)]
)
def test_other_inputs_have_no_plain_form(inputs: tuple[Tensor, ...]) -> None:
    assert plain_form(Contract(task="other", columns=(), inputs=inputs, outputs=())) is None


def test_what_the_long_way_refuses_is_never_plain() -> None:
    form = plain_form(contract())
    assert form is not None
    for body in (b"{", b'{"inputs":[]}', b'{"inputs":[{"name":"input","shape":[1,3],"datatype":"FP32","data":[1,2]}]}'):
        assert form.decode(body) is None
        if body != b'{"inputs":[]}':
            with pytest.raises(InvalidInput):
                decode_request(body)
