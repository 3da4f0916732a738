"""Requests as a lane takes them: what heads and bodies mean, checked against the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec
import numpy as np

from prodml_magics.contract.check import check_tensors
from prodml_magics.contract.encode import widen
from prodml_magics.contract.schema import Contract
from prodml_magics.errors import InvalidInput
from prodml_magics.serving.batcher import Lane
from prodml_magics.serving.classification import check_classes
from prodml_magics.serving.openinference import InferRequest

__all__ = ["Headers", "Read", "checked", "header_length", "least_rows", "named_rows", "plain", "unquoted", "version_number"]

Headers = Mapping[bytes, bytes]
Read = tuple[dict[str, np.ndarray], int, InferRequest | None]
"""The rows of a request as a lane takes them, how many they are, and the request that they came in."""
_VERSION_DIGITS = 10


def unquoted(name: str) -> str:
    """A name as it stands in a path."""
    return unquote(name) if "%" in name else name


def version_number(text: str | None) -> int | None:
    """The number of the version that a path or a message names; none for the live one."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _VERSION_DIGITS):
        raise InvalidInput(f"{text[:30]!a} is not a version number")
    return int(text)


def header_length(headers: Headers) -> int | None:
    """Bytes of JSON before binary tensors; none where there are none."""
    value = headers.get(b"inference-header-content-length")
    if value is None:
        return None
    if not value.isdigit() or len(value) > 12:
        raise InvalidInput("Inference-Header-Content-Length is not a length in bytes")
    return int(value)


def least_rows(lane: Lane, length: int | None, body: bytes) -> int:
    """How many rows a body has, as far as its size says; 1 where it does not."""
    if length is None or lane.plain is None:
        return 1
    return max(1, (len(body) - length) // lane.plain.row_bytes)


def plain(lane: Lane, body: bytes) -> Read | None:
    """The short way in, where the model and the body allow it."""
    if lane.plain is None:
        return None
    found = lane.plain.decode(body)
    if found is None:
        return None
    request_id, packed, rows = found
    tensors = {lane.plain.name: lane.plain.array(packed)}
    return tensors, rows, InferRequest(request_id, tensors, {}, False)


def checked(request: InferRequest, lane: Lane) -> Read:
    """`request` with its tensors as the model takes them."""
    contract = lane.version.contract
    if request.outputs:
        _check_outputs(request, contract)
    if lane.wide:
        request = msgspec.structs.replace(request, tensors=widen(contract, request.tensors))
    return request.tensors, check_tensors(contract, request.tensors), request


def _check_outputs(request: InferRequest, contract: Contract) -> None:
    known = {tensor.name: tensor for tensor in contract.outputs}
    for name, wanted in request.outputs.items():
        if name not in known:
            raise InvalidInput(f"there is no output {ascii(name)[:60]}; outputs are {', '.join(known)}")
        if wanted.classes:
            check_classes(known[name], wanted.classes)


def named_rows(body: bytes) -> list[dict[str, Any]]:
    """The named rows of a body: one object, or a list of them."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f'the body is not JSON ({error}); send {{"column": value, …}} or a list of such rows') from error
    rows = [value] if isinstance(value, dict) else value
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise InvalidInput('send one row as {"column": value, …} or a list of at least one such row')
    return rows
