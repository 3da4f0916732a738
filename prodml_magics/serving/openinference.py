"""Open Inference Protocol v2 over REST: JSON tensors and the binary tensor extension to numpy and back.

Source: https://github.com/kserve/open-inference-protocol (REST), and the binary data extension that Triton documents.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from prodml_magics.errors import InvalidInput
from prodml_magics.serving.requests import Answer

__all__ = ["DATATYPES", "InferRequest", "datatype_of", "decode_plain", "decode_request", "encode_response"]

DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),
}
_NAMES = {dtype: name for name, dtype in DATATYPES.items()}
_LENGTH = struct.Struct("<I")
_MAX_DIMENSIONS = 8


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


class InferRequest(msgspec.Struct, frozen=True):
    """A decoded request; `outputs` maps wanted names to whether they go out as binary, empty for all of them."""

    id: str
    tensors: dict[str, np.ndarray]
    outputs: dict[str, bool]
    binary: bool
    """Whether outputs that are not named go out as binary."""


class _PlainTensor(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class _PlainRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What most clients send: one flat tensor of floats and nothing beside it."""

    inputs: tuple[_PlainTensor]
    id: str = ""


_decoder = msgspec.json.Decoder(_JsonRequest)
_plain_decoder = msgspec.json.Decoder(_PlainRequest)


def decode_plain(body: bytes, name: str, width: int) -> tuple[str, np.ndarray] | None:
    """Id and tensor of the most common form, several times as fast as `decode_request` and a check by the contract.

    That form is one flat FP32 tensor `name` of shape [rows, `width`], every value finite in float32. None when the body is anything
    else, or wrong: the long way then says what.
    """
    try:
        request = _plain_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    (tensor,) = request.inputs
    data, shape = tensor.data, tensor.shape
    count = len(data)
    if not count or tensor.name != name or tensor.datatype != "FP32" or shape != [count // width, width]:
        return None
    if not math.isfinite(sum(data)):
        return None
    try:
        # The format with a byte order refuses what float32 cannot hold; the native one would make it infinite.
        values = np.frombuffer(struct.pack(f"<{count}f", *data), np.float32)
    except (OverflowError, struct.error):
        return None
    return (request.id, values.reshape(shape)) if values.size == shape[0] * width else None


def decode_request(body: bytes, header_length: int | None = None) -> InferRequest:
    """Decode a request body; `header_length` is ``Inference-Header-Content-Length`` where the client sent one.

    Raises `InvalidInput` with one line on anything that is not the protocol.
    """
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
            raise InvalidInput(f"input {tensor.name[:100]!r} is given twice; send each input once")
        tensors[tensor.name], rest = _tensor(tensor, rest)
    if len(rest):
        raise InvalidInput(f"{len(rest)} bytes follow the last binary tensor; check the binary_data_size parameters")
    outputs = {output.name: bool(output.parameters.get("binary_data")) for output in request.outputs or ()}
    return InferRequest(request.id, tensors, outputs, bool(request.parameters.get("binary_data_output")))


def _tensor(tensor: _JsonTensor, rest: memoryview) -> tuple[np.ndarray, memoryview]:
    dtype = DATATYPES.get(tensor.datatype)
    if dtype is None:
        raise InvalidInput(
            f"input {tensor.name!r}: datatype {tensor.datatype[:20]!r} is not served; use one of {', '.join(DATATYPES)}"
        )
    if len(tensor.shape) > _MAX_DIMENSIONS or any(not 0 <= size < 2**31 for size in tensor.shape):
        raise InvalidInput(
            f"input {tensor.name!r}: shape {tensor.shape[:10]} is not usable; dimensions are 0 or more, at most 8 of them"
        )
    count = math.prod(tensor.shape)
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        if tensor.data is None:
            raise InvalidInput(f"input {tensor.name!r} has neither data nor binary_data_size; send one of them")
        values = _from_json(tensor, dtype)
    else:
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(rest):
            raise InvalidInput(
                f"input {tensor.name!r}: binary_data_size {size!r} does not fit the {len(rest)} bytes that follow the JSON part"
            )
        values, rest = _from_binary(tensor, dtype, rest[:size]), rest[size:]
    if values.size != count:
        raise InvalidInput(
            f"input {tensor.name!r} has {values.size} values, its shape {tensor.shape} needs {count}; send one value per cell"
        )
    return values.reshape(tensor.shape), rest


def _from_json(tensor: _JsonTensor, dtype: np.dtype[Any]) -> np.ndarray:
    flat = _flat(tensor.data or [], tensor)
    if tensor.datatype == "BYTES":
        if not all(value is None or isinstance(value, str) for value in flat):
            raise InvalidInput(f"input {tensor.name!r} is BYTES; send texts")
        values = np.empty(len(flat), dtype=object)
        values[:] = flat
        return values
    if tensor.datatype == "BOOL":
        if not all(isinstance(value, bool) or value in (0, 1) for value in flat):
            raise InvalidInput(f"input {tensor.name!r} is BOOL; send true and false")
        return np.array(flat, dtype=dtype)
    return _numbers(flat, tensor, dtype)


def _numbers(flat: list[Any], tensor: _JsonTensor, dtype: np.dtype[Any]) -> np.ndarray:
    for value in flat:
        if type(value) is not float and type(value) is not int and not (value is None and dtype.kind == "f"):
            raise InvalidInput(f"input {tensor.name!r} is {tensor.datatype}, {ascii(value)[:40]} is not a number; send numbers")
    try:
        with np.errstate(over="raise"):
            values = np.array(flat, dtype=dtype)
    except (OverflowError, FloatingPointError, ValueError) as error:
        raise InvalidInput(
            f"input {tensor.name!r} has a value that {tensor.datatype} cannot hold; send numbers in its range"
        ) from error
    if dtype.kind in "iu" and any(type(value) is float and value != int(value) for value in flat):
        raise InvalidInput(f"input {tensor.name!r} is {tensor.datatype}; send whole numbers")
    return values


def _flat(data: list[Any], tensor: _JsonTensor) -> list[Any]:
    """`data` row-major: flat already, or nested as its shape says (ragged nesting is refused)."""
    if not data or not isinstance(data[0], list):
        return data
    for size in tensor.shape[1:]:
        if not all(isinstance(part, list) and len(part) == size for part in data):
            raise InvalidInput(f"input {tensor.name!r} is ragged; every row needs {size} values")
        data = [value for part in data for value in part]
    return data


def _from_binary(tensor: _JsonTensor, dtype: np.dtype[Any], data: memoryview) -> np.ndarray:
    if tensor.datatype == "BYTES":
        return _texts(tensor, data)
    if len(data) % dtype.itemsize:
        raise InvalidInput(f"input {tensor.name!r}: {len(data)} bytes are no whole number of {tensor.datatype} values")
    return np.frombuffer(data, dtype=dtype)


def _texts(tensor: _JsonTensor, data: memoryview) -> np.ndarray:
    texts: list[str] = []
    offset = 0
    try:
        while offset < len(data):
            (length,) = _LENGTH.unpack_from(data, offset)
            offset += _LENGTH.size
            if offset + length > len(data):
                raise ValueError("a length points past the end")
            texts.append(str(data[offset : offset + length], "utf-8"))
            offset += length
    except (struct.error, ValueError) as error:
        raise InvalidInput(f"input {tensor.name!r} is not length-prefixed UTF-8 ({error})") from error
    values = np.empty(len(texts), dtype=object)
    values[:] = texts
    return values


def datatype_of(values: np.ndarray) -> str:
    """The protocol's name for the dtype of `values`."""
    return "BYTES" if values.dtype.kind in "OUS" else _NAMES[values.dtype.newbyteorder("<")]


def encode_response(head: bytes, answer: Answer, names: Sequence[str], request: InferRequest) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON part where binary tensors follow it.

    `head` is the JSON object before its outputs, without the closing brace; `names` are all outputs in their order.
    """
    parts: list[bytes] = []
    chunks: list[bytes] = []
    for name in request.outputs or names:
        values = answer.array(name)
        form = b'{"name":%b,"datatype":"%b","shape":%b,' % (_quoted(name), datatype_of(values).encode(), _shape(values))
        if request.outputs.get(name, request.binary):
            chunks.append(_to_binary(values))
            parts.append(b'%b"parameters":{"binary_data_size":%d}}' % (form, len(chunks[-1])))
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


def _to_binary(values: np.ndarray) -> bytes:
    if values.dtype.kind in "OUS":
        encoded = [str(value).encode() for value in values.ravel().tolist()]
        return b"".join(_LENGTH.pack(len(text)) + text for text in encoded)
    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False)).tobytes()
