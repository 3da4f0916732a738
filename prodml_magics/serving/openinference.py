"""Open Inference Protocol v2 over REST: JSON tensors and the binary tensor extension to numpy and back.

Source: https://github.com/kserve/open-inference-protocol (REST), and the binary data extension that Triton documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from prodml_magics.contract.schema import Contract
from prodml_magics.errors import InvalidInput
from prodml_magics.serving.classification import classified
from prodml_magics.serving.requests import Answer
from prodml_magics.serving.tensors import check_shape, datatype_of, dtype_for, from_raw, shaped, to_bfloat, to_raw

__all__ = ["InferRequest", "Wanted", "decode_request", "encode_response", "nested_tensor"]


_DEEPEST = 16
"""Lists in lists that are looked into; a tensor has fewer dimensions."""


class _JsonTensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class _JsonOutput(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class _JsonRequest(msgspec.Struct):
    inputs: list[_JsonTensor]
    id: str = ""
    outputs: list[_JsonOutput] | None = None
    parameters: dict[str, Any] = {}


class Wanted(msgspec.Struct, frozen=True):
    """How one output is wanted."""

    binary: bool = False
    classes: int = 0
    """Above 0: the so many largest values with their labels instead of the tensor."""


class InferRequest(msgspec.Struct, frozen=True):
    """A decoded request, of either protocol; `outputs` names those that are wanted, in order, empty for all of them."""

    id: str
    tensors: dict[str, np.ndarray]
    outputs: dict[str, Wanted]
    binary: bool
    """Whether outputs that are not named go out as binary."""


_decoder = msgspec.json.Decoder(_JsonRequest)


def decode_request(body: bytes, header_length: int | None = None) -> InferRequest:
    """Decode a request body; `header_length` is ``Inference-Header-Content-Length`` where the client sent one.

    Raises `InvalidInput` with one line on anything that is not the protocol.
    """
    if not body:
        raise InvalidInput("the body is empty; send an inference request, see GET /v2/models/NAME for names and shapes")
    split = len(body) if header_length is None else header_length
    if not 0 < split <= len(body):
        raise InvalidInput(
            f"Inference-Header-Content-Length is {split}, the body has {len(body)} bytes; send the length of the JSON part"
        )
    try:
        request = _decoder.decode(body[:split])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            f"the body is not an inference request ({error}); see GET /v2/models/NAME for names and shapes"
        ) from error
    rest = memoryview(body)[split:]
    tensors: dict[str, np.ndarray] = {}
    for tensor in request.inputs:
        if tensor.name in tensors:
            raise InvalidInput(f"input {tensor.name[:100]!a} is given twice; send each input once")
        tensors[tensor.name], rest = _tensor(tensor, rest)
    if len(rest):
        raise InvalidInput(f"{len(rest)} bytes follow the last binary tensor; check the binary_data_size parameters")
    binary = bool(request.parameters.get("binary_data_output"))
    return InferRequest(request.id, tensors, _wanted(request.outputs or [], binary), binary)


def _wanted(outputs: list[_JsonOutput], binary: bool) -> dict[str, Wanted]:
    found: dict[str, Wanted] = {}
    for output in outputs:
        if output.name in found:
            raise InvalidInput(f"output {output.name[:100]!a} is asked for twice; name each output once")
        _refuse_shared_memory("output", output.name, output.parameters)
        classes = output.parameters.get("classification", 0)
        if type(classes) is not int or classes < ("classification" in output.parameters):
            raise InvalidInput(f"output {output.name[:100]!a}: classification is how many classes to give, 1 or more")
        found[output.name] = Wanted(bool(output.parameters.get("binary_data", binary)), classes)
    return found


def _refuse_shared_memory(side: str, name: str, parameters: dict[str, Any]) -> None:
    if "shared_memory_region" in parameters:
        raise InvalidInput(f"{side} {name[:100]!a} is in shared memory, which is not served; send tensors in the request")


def _tensor(tensor: _JsonTensor, rest: memoryview) -> tuple[np.ndarray, memoryview]:
    dtype = dtype_for(tensor.name, tensor.datatype)
    check_shape(tensor.name, tensor.shape)
    _refuse_shared_memory("input", tensor.name, tensor.parameters)
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        if tensor.data is None:
            raise InvalidInput(f"input {_name(tensor)} has neither data nor binary_data_size; send one of them")
        return shaped(tensor.name, _from_json(tensor, dtype), tensor.shape), rest
    if tensor.data is not None:
        raise InvalidInput(f"input {_name(tensor)} has both data and binary_data_size; send one of them")
    if type(size) is not int or not 0 <= size <= len(rest):
        raise InvalidInput(
            f"input {_name(tensor)}: binary_data_size {_shown(size)} does not fit the {len(rest)} bytes that follow the JSON part"
        )
    return shaped(tensor.name, from_raw(tensor.name, tensor.datatype, rest[:size]), tensor.shape), rest[size:]


def nested_tensor(name: str, datatype: str, data: Any) -> np.ndarray:
    """The tensor of nested JSON lists, in the shape that they have; `InvalidInput` where they are ragged or of another kind."""
    shape: list[int] = []
    inner = data
    while isinstance(inner, list) and len(shape) < _DEEPEST:
        shape.append(len(inner))
        inner = inner[0] if inner else None
    if not shape:
        raise InvalidInput(f"input {name[:100]!a} is {_shown(data)}; send a list of rows")
    tensor = _JsonTensor(name, shape, datatype, data)
    check_shape(name, shape)
    return shaped(name, _from_json(tensor, dtype_for(name, datatype)), shape)


def _name(tensor: _JsonTensor) -> str:
    return ascii(tensor.name[:100])


def _shown(value: Any) -> str:
    """`value` for a message: of a list or an object, which may be huge or deep, only what it is."""
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else ascii(value)[:40]


def _from_json(tensor: _JsonTensor, dtype: np.dtype[Any]) -> np.ndarray:
    flat = _flat(tensor.data or [], tensor)
    if tensor.datatype == "BYTES":
        if not all(value is None or isinstance(value, str) for value in flat):
            raise InvalidInput(f"input {_name(tensor)} is BYTES; send texts")
        values = np.empty(len(flat), dtype=object)
        values[:] = flat
        return values
    if tensor.datatype == "BOOL":
        if not all(type(value) in (bool, int, float) and value in (0, 1) for value in flat):
            raise InvalidInput(f"input {_name(tensor)} is BOOL; send true and false")
        return np.array(flat, dtype=dtype)
    values = _numbers(flat, tensor, dtype)
    return to_bfloat(values) if tensor.datatype == "BF16" else values


def _numbers(flat: list[Any], tensor: _JsonTensor, dtype: np.dtype[Any]) -> np.ndarray:
    for value in flat:
        if type(value) is not float and type(value) is not int and not (value is None and dtype.kind == "f"):
            raise InvalidInput(f"input {_name(tensor)} is {tensor.datatype}, {_shown(value)} is not a number; send numbers")
    try:
        with np.errstate(over="raise"):
            values = np.array(flat, dtype=dtype)
    except (OverflowError, FloatingPointError, ValueError) as error:
        raise InvalidInput(
            f"input {_name(tensor)} has a value that {tensor.datatype} cannot hold; send numbers in its range"
        ) from error
    if dtype.kind in "iu" and any(type(value) is float and value != int(value) for value in flat):
        raise InvalidInput(f"input {_name(tensor)} is {tensor.datatype}; send whole numbers")
    return values


def _flat(data: list[Any], tensor: _JsonTensor) -> list[Any]:
    """`data` row-major: flat already, or nested as its shape says (ragged nesting is refused)."""
    if not data or not isinstance(data[0], list):
        return data
    for size in tensor.shape[1:]:
        if not all(isinstance(part, list) and len(part) == size for part in data):
            raise InvalidInput(f"input {_name(tensor)} is ragged; every row needs {size} values")
        data = [value for part in data for value in part]
    return data


def encode_response(
    head: bytes, answer: Answer, names: Sequence[str], request: InferRequest, contract: Contract
) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON part where binary tensors follow it.

    `head` is the JSON object before its outputs, without the closing brace; `names` are all outputs in their order.
    """
    parts: list[bytes] = []
    chunks: list[bytes] = []
    default = Wanted(request.binary)
    for name in request.outputs or names:
        wanted = request.outputs.get(name, default)
        values = answer.array(name)
        if wanted.classes:
            values = classified(values, wanted.classes, contract)
        form = b'{"name":%b,"datatype":"%b","shape":%b,' % (_quoted(name), datatype_of(values).encode(), _shape(values))
        if wanted.binary:
            chunks.append(to_raw(values))
            parts.append(b'%b"parameters":{"binary_data_size":%d}}' % (form, len(chunks[-1])))
        elif wanted.classes:
            parts.append(b'%b"data":%b}' % (form, msgspec.json.encode(values.ravel().tolist())))
        else:
            parts.append(b'%b"data":%b}' % (form, _data(answer, name)))
    body = b'%b,"outputs":[%b]}' % (head, b",".join(parts))
    return (body + b"".join(chunks), len(body)) if chunks else (body, None)


def _quoted(text: str) -> bytes:
    return msgspec.json.encode(text)


def _shape(values: np.ndarray) -> bytes:
    return msgspec.json.encode(values.shape)


def _data(answer: Answer, name: str) -> bytes:
    """Row-major JSON; JSON has no NaN, so a missing number is null."""
    rows = answer.outputs.rows(name)
    if answer.stop - answer.start == 1:
        return msgspec.json.encode(rows[answer.start])
    return msgspec.json.encode([value for row in rows[answer.start : answer.stop] for value in row])
