"""Requests whose one tensor came as the bytes that the model takes, and that are answered in bytes: neither is looked at value by value.

A client sends the same few bytes before its values again and again. What they mean is learned from the long way, once, by whoever reads a
protocol (`BinaryHeads` here for REST, `rpc.known` for gRPC); the next request that begins with them is taken without being parsed. What
is answered has a long way beside it that gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from prodml_magics.serving.openinference import InferRequest
from prodml_magics.serving.plain import PlainForm, PlainRequest
from prodml_magics.serving.requests import Answer
from prodml_magics.serving.tensors import DATATYPES, datatype_of, to_raw

if TYPE_CHECKING:
    from prodml_magics.serving.batcher import Lane

__all__ = ["BinaryAnswers", "BinaryHeads", "Encoded", "RawForm", "RawRequest", "finite", "raw_form"]

_HEADS = 1024
"""Different beginnings that are remembered; one that varies from request to request must not fill the memory."""
_HEAD_BYTES = 2048
_FORMS = 256
Encoded = tuple[list[tuple[bytes, bytes]], bytes]
"""Headers and body of an answer."""


class RawForm(msgspec.Struct, frozen=True):
    """What a beginning says of the bytes that follow: the name, datatype and width of the one tensor, and how many rows they are."""

    tensor: tuple[str, str, int]
    rows: int
    size: int
    """Bytes of all rows."""


def raw_form(name: str, datatype: str, shape: Sequence[int], size: int) -> RawForm | None:
    """The form of a tensor of `size` bytes; none where it is no plain matrix of floats."""
    if datatype not in ("FP32", "FP64") or len(shape) != 2:
        return None
    rows, width = shape
    if rows < 1 or width < 1 or rows * width * DATATYPES[datatype].itemsize != size:
        return None
    return RawForm((name, datatype, width), rows, size)


def finite(form: PlainForm, packed: bytes) -> bool:
    """Whether every value is finite; it may be False though they are. The long way says what is wrong, or that nothing is."""
    values = np.frombuffer(packed, form.dtype)
    return math.isfinite(np.vdot(values, values))


class RawRequest(PlainRequest):
    """Such a request on its way through the core; `encode` writes its answer down."""

    __slots__ = ("encode",)

    encode: Callable[[str, Lane, Answer], Encoded]


class BinaryHeads:
    """What the JSON before the binary tensor of a REST request was found to mean."""

    def __init__(self) -> None:
        self._known: dict[bytes, RawForm] = {}

    def find(self, body: bytes, length: int) -> RawForm | None:
        """The form of what follows the first `length` bytes, where these are known and the rest is as long as they say."""
        found = self._known.get(body[:length])
        return found if found is not None and found.size == len(body) - length else None

    def learn(self, body: bytes, length: int, request: InferRequest) -> None:
        """Remember a beginning that was decoded to `request`, where all that begin so can be taken without decoding."""
        if request.id or request.outputs or not request.binary or len(request.tensors) != 1 or length > _HEAD_BYTES:
            return
        ((name, values),) = request.tensors.items()
        # All bytes behind the JSON are this tensor's, or the request would have been refused.
        form = raw_form(name, datatype_of(values), values.shape, len(body) - length)
        if form is not None:
            if len(self._known) >= _HEADS:
                self._known.clear()
            self._known[body[:length]] = form


class BinaryAnswers:
    """Writes the bodies of answers in binary: what answers of one shape share is put together once."""

    __slots__ = ("_head", "_names", "_tail", "_tails")

    def __init__(self, head: bytes, arm: str, names: Sequence[str]) -> None:
        self._head = b'{%b,"id":' % head
        self._tail = b',"parameters":{"arm":"%b"},"outputs":[' % arm.encode()
        self._names = names
        self._tails: dict[Any, bytes] = {}

    def body(self, request_id: str, answer: Answer) -> tuple[bytes, int] | None:
        """The body with all outputs and the length of its JSON; None where an output is text, whose size says nothing of the next."""
        arrays = [answer.array(name) for name in self._names]
        seen = tuple([(values.dtype, values.shape) for values in arrays])
        tail = self._tails.get(seen)
        if tail is None:
            if any(values.dtype.kind in "OUS" for values in arrays):
                return None
            if len(self._tails) >= _FORMS:
                self._tails.clear()
            tail = self._tails[seen] = self._tail + b",".join(map(_described, self._names, arrays)) + b"]}"
        head = b"%b%b%b" % (self._head, msgspec.json.encode(request_id), tail)
        return b"".join([head, *[to_raw(values) for values in arrays]]), len(head)


def _described(name: str, values: np.ndarray) -> bytes:
    return b'{"name":%b,"datatype":"%b","shape":%b,"parameters":{"binary_data_size":%d}}' % (
        msgspec.json.encode(name),
        datatype_of(values).encode(),
        msgspec.json.encode(values.shape),
        values.nbytes,
    )
