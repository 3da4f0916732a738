"""Inference messages to the core's request, and the core's answer to a message; tensors typed or raw, as the client chose."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from prodml_magics.errors import InvalidInput
from prodml_magics.serving.batcher import Lane
from prodml_magics.serving.classification import classified
from prodml_magics.serving.openinference import InferRequest, Wanted
from prodml_magics.serving.raw import Encoded
from prodml_magics.serving.requests import Answer
from prodml_magics.serving.rpc.known import length_delimited
from prodml_magics.serving.rpc.messages import ModelInferResponse
from prodml_magics.serving.tensors import check_shape, datatype_of, dtype_for, from_raw, shaped, to_raw

__all__ = ["decode_request", "encode_raw", "encode_response"]

_ID, _CONTENTS = 0x1A, 0x32
"""Tags of id and raw_output_contents in an answer."""

_FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where the values of a datatype stand; what has no field travels raw only."""


def decode_request(message: Any) -> InferRequest:
    """What the core takes, from a ``ModelInferRequest``; `InvalidInput` on anything that is not the protocol."""
    raw = message.raw_input_contents
    inputs = message.inputs
    if raw and len(raw) != len(inputs):
        raise InvalidInput(f"there are {len(raw)} raw_input_contents for {len(inputs)} inputs; send one for each, or none")
    tensors: dict[str, np.ndarray] = {}
    for index, tensor in enumerate(inputs):
        # Every look at a field of a message makes an object; what is needed twice is taken once.
        name, shape = tensor.name, list(tensor.shape)
        if name in tensors:
            raise InvalidInput(f"input {name[:100]!a} is given twice; send each input once")
        _refuse_shared_memory("input", tensor)
        check_shape(name, shape)
        values = _from_raw(tensor, raw[index]) if raw else _from_contents(tensor)
        tensors[name] = shaped(name, values, shape)
    return InferRequest(message.id, tensors, _wanted(message.outputs), bool(raw) or not inputs)


def _from_raw(tensor: Any, data: bytes) -> np.ndarray:
    if tensor.HasField("contents"):
        raise InvalidInput(f"input {tensor.name[:100]!a} has contents beside raw_input_contents; send one of them")
    return from_raw(tensor.name, tensor.datatype, data)


def _from_contents(tensor: Any) -> np.ndarray:
    dtype = dtype_for(tensor.name, tensor.datatype)
    field = _FIELDS.get(tensor.datatype)
    if field is None:
        raise InvalidInput(f"input {tensor.name[:100]!a} is {tensor.datatype}, which goes in raw_input_contents only")
    filled = [each.name for each, _ in tensor.contents.ListFields()]
    if any(name != field for name in filled):
        raise InvalidInput(f"input {tensor.name[:100]!a} is {tensor.datatype}; send its values in {field} alone")
    values = getattr(tensor.contents, field)
    if tensor.datatype == "BYTES":
        return _texts(tensor.name, values)
    try:
        return np.array(values, dtype)
    except OverflowError as error:
        raise InvalidInput(
            f"input {tensor.name[:100]!a} has a value that {tensor.datatype} cannot hold; send numbers in its range"
        ) from error


def _texts(name: str, values: Any) -> np.ndarray:
    found = np.empty(len(values), object)
    try:
        found[:] = [value.decode() for value in values]
    except UnicodeDecodeError as error:
        raise InvalidInput(f"input {name[:100]!a} is not UTF-8 ({error.reason}); send texts") from error
    return found


def _wanted(outputs: Any) -> dict[str, Wanted]:
    found: dict[str, Wanted] = {}
    for output in outputs:
        if output.name in found:
            raise InvalidInput(f"output {output.name[:100]!a} is asked for twice; name each output once")
        _refuse_shared_memory("output", output)
        found[output.name] = Wanted(classes=_classes(output.name, output.parameters))
    return found


def _classes(name: str, parameters: Mapping[str, Any]) -> int:
    if "classification" not in parameters:
        return 0
    parameter = parameters["classification"]
    kind = parameter.WhichOneof("parameter_choice")
    count = getattr(parameter, kind) if kind in ("int64_param", "uint64_param") else 0
    if count < 1:
        raise InvalidInput(f"output {name[:100]!a}: classification is how many classes to give, 1 or more")
    return int(count)


def _refuse_shared_memory(side: str, tensor: Any) -> None:
    if "shared_memory_region" in tensor.parameters:
        raise InvalidInput(f"{side} {tensor.name[:100]!a} is in shared memory, which is not served; send tensors in the request")


def encode_response(lane: Lane, request_id: str, request: InferRequest, answer: Answer) -> bytes:
    """The ``ModelInferResponse`` of an answer: raw where the request was, else typed, as far as every output has a field."""
    version = lane.version
    message = ModelInferResponse(id=request_id)
    outputs = [(name, _values(lane, request, answer, name)) for name in request.outputs or lane.outputs]
    raw = request.binary or any(datatype_of(values) not in _FIELDS for _, values in outputs)
    for name, values in outputs:
        datatype = datatype_of(values)
        output = message.outputs.add(name=name, datatype=datatype, shape=values.shape)
        if raw:
            message.raw_output_contents.append(to_raw(values))
        else:
            flat = values.ravel().tolist()
            texts = [str(value).encode() for value in flat] if datatype == "BYTES" else flat
            getattr(output.contents, _FIELDS[datatype]).extend(texts)
    # Messages put one behind the other are read as one.
    return _head(version.model, version.version, lane.arm) + message.SerializeToString()


def encode_raw(request_id: str, lane: Lane, answer: Answer) -> Encoded:
    """What `encode_response` gives for all outputs in raw contents, put together from pieces that answers of one shape share."""
    version = lane.version
    given = request_id.encode()
    arrays = [answer.array(name) for name in lane.outputs]
    parts = [
        _head(version.model, version.version, lane.arm),
        length_delimited(_ID, len(given)) if given else b"",
        given,
        _outputs(lane.outputs, tuple([(values.dtype, values.shape) for values in arrays])),
    ]
    for values in arrays:
        content = to_raw(values)
        parts += (_content(len(content)), content)
    return [], b"".join(parts)


@lru_cache(1024)
def _outputs(names: tuple[str, ...], kinds: tuple[tuple[np.dtype[Any], tuple[int, ...]], ...]) -> bytes:
    """The ``outputs`` of an answer whose contents are raw."""
    message = ModelInferResponse()
    for name, (dtype, shape) in zip(names, kinds, strict=True):
        message.outputs.add(name=name, datatype=datatype_of(np.empty(0, dtype)), shape=shape)
    return bytes(message.SerializeToString())


@lru_cache(1024)
def _content(length: int) -> bytes:
    """What stands before one of the ``raw_output_contents``."""
    return length_delimited(_CONTENTS, length)


@lru_cache(1024)
def _head(model: str, version: int, arm: str) -> bytes:
    """What every answer of a version begins with."""
    message = ModelInferResponse(model_name=model, model_version=str(version))
    message.parameters["arm"].string_param = arm
    return bytes(message.SerializeToString())


def _values(lane: Lane, request: InferRequest, answer: Answer, name: str) -> np.ndarray:
    values = answer.array(name)
    wanted = request.outputs.get(name)
    return classified(values, wanted.classes, lane.version.contract) if wanted and wanted.classes else values
