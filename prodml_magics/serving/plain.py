"""The most common request, one flat tensor of floats in JSON, decoded, batched and answered with as little as that takes.

Everything here has a long way beside it that gives the same bytes: `openinference` decodes and encodes any request, and what is
not plain goes there.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

from prodml_magics.contract.schema import Contract, Tensor
from prodml_magics.errors import ProdmlError
from prodml_magics.serving.requests import Answer
from prodml_magics.serving.tensors import datatype_of

if TYPE_CHECKING:
    from prodml_magics.serving.batcher import Lane

__all__ = ["PlainAnswers", "PlainForm", "PlainRequest", "Settler", "Wire", "plain_form"]

_CODES = {"FP32": "f", "FP64": "d"}


class _PlainTensor(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class _PlainRequest(msgspec.Struct, forbid_unknown_fields=True):
    inputs: tuple[_PlainTensor]
    id: str = ""


_decoder = msgspec.json.Decoder(_PlainRequest)


class PlainForm:
    """What a plain request to a model looks like: its only input, floats of shape [rows, `width`]."""

    __slots__ = ("_code", "_row", "datatype", "dtype", "name", "row_bytes", "tensor", "width")

    def __init__(self, name: str, datatype: str, width: int) -> None:
        self.name = name
        self.datatype = datatype
        self.width = width
        self.tensor = (name, datatype, width)
        self._code = _CODES[datatype]
        self.dtype = np.dtype(f"<{self._code}")
        self.row_bytes = width * self.dtype.itemsize
        self._row = struct.Struct(f"<{width}{self._code}").pack

    def decode(self, body: bytes) -> tuple[str, bytes, int] | None:
        """Id, values as little-endian bytes in C order, and rows of a plain request, every value finite in its datatype.

        None when the body is anything else, or wrong: the long way then says what.
        """
        try:
            request = _decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        (tensor,) = request.inputs
        data = tensor.data
        rows = len(data) // self.width
        if not rows or tensor.name != self.name or tensor.datatype != self.datatype or tensor.shape != [rows, self.width]:
            return None
        if not math.isfinite(sum(data)):
            return None
        try:
            # The format with a byte order refuses what float32 cannot hold; the native one would make it infinite.
            packed = self._row(*data) if rows == 1 else struct.pack(f"<{rows * self.width}{self._code}", *data)
        except (OverflowError, struct.error):
            return None
        return request.id, packed, rows

    def array(self, packed: bytes) -> np.ndarray:
        """The tensor [rows, width] of `packed`; read-only."""
        return np.frombuffer(packed, self.dtype).reshape(-1, self.width)


def plain_form(contract: Contract) -> PlainForm | None:
    """The plain form of requests to a model, where it has one."""
    match contract.inputs:
        case (Tensor(name=name, datatype="FP32" | "FP64" as datatype, shape=(-1, width)),) if width > 0:
            return PlainForm(name, datatype, width)
    return None


class Wire(Protocol):
    """The connection that a plain request came in on, and that waits for its answer."""

    def answer(self, request_id: str, body: bytes) -> None:
        """Reply 200 with `body`."""
        ...

    def reply(self, status: int, extra: list[tuple[bytes, bytes]], payload: bytes) -> None:
        """Reply with any status."""
        ...


class Settler(Protocol):
    """Delivers what became of a plain request where that is not the common case."""

    def settle_plain(self, request: PlainRequest, outcome: Answer | ProdmlError) -> None: ...


class PlainRequest:
    """A plain request on its way through the core, in the place of a `Pending`."""

    __slots__ = (
        "_settler",
        "abandoned",
        "alone",
        "deadline",
        "key",
        "lane",
        "packed",
        "received_at",
        "request_id",
        "rows",
        "settled",
        "started",
        "tenant",
        "wire",
    )

    def __init__(
        self,
        settler: Settler,
        lane: Lane,
        wire: Wire,
        request_id: str,
        packed: bytes,
        rows: int,
        received_at: float,
        started: float,
        deadline: float,
        tenant: str,
    ) -> None:
        self._settler = settler
        self.tenant = tenant
        self.lane = lane
        self.wire = wire
        self.request_id = request_id
        self.packed = packed
        self.rows = rows
        self.received_at = received_at
        self.started = started
        self.deadline = deadline
        self.key = ""
        self.settled = self.abandoned = self.alone = False

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """Its one tensor by name."""
        form = self.lane.plain
        assert form is not None
        return {form.name: form.array(self.packed)}

    def settle(self, outcome: Answer | ProdmlError) -> None:
        """Deliver `outcome`, once."""
        if not self.settled:
            self.settled = True
            self._settler.settle_plain(self, outcome)


class PlainAnswers:
    """Writes the bodies of one-row answers: what they share is put together once, the numbers of a turn are encoded at once."""

    __slots__ = ("_around", "_head", "_names", "_seen", "_tail")

    def __init__(self, head: bytes, arm: str, names: Sequence[str]) -> None:
        self._head = b'{%b,"id":' % head
        self._tail = b',"parameters":{"arm":"%b"},"outputs":[' % arm.encode()
        self._names = names
        self._seen: list[tuple[Any, ...]] = []
        self._around: list[bytes] = []

    def bodies(self, request_ids: Sequence[str], outputs: dict[str, np.ndarray]) -> list[bytes]:
        """One body for each row of `outputs`, whose first axis is as long as `request_ids`."""
        seen = [(outputs[name].dtype, outputs[name].shape[1:]) for name in self._names]
        if seen != self._seen:
            self._seen, self._around = seen, [self._form(name, outputs[name]) for name in self._names]
        columns = [_rows(outputs[name]) for name in self._names]
        head, encode = self._head, msgspec.json.encode
        if len(columns) == 2:
            (one, two), (before, between) = columns, self._around
            before = self._tail + before
            return [
                b"%b%b%b%b%b%b]}]}" % (head, encode(each), before, a, between, b)
                for each, a, b in zip(request_ids, one, two, strict=True)
            ]
        return [
            head + encode(each) + self._tail + b"".join([b + v for b, v in zip(self._around, values, strict=True)]) + b"]}]}"
            for each, *values in zip(request_ids, *columns, strict=True)
        ]

    def _form(self, name: str, values: np.ndarray) -> bytes:
        """What stands before the numbers of an output, from the end of the output before it."""
        shape = msgspec.json.encode((1, *values.shape[1:]))
        form = b'{"name":%b,"datatype":"%b","shape":%b,"data":[' % (
            msgspec.json.encode(name),
            datatype_of(values).encode(),
            shape,
        )
        return form if name == self._names[0] else b"]}," + form


def _rows(values: np.ndarray) -> list[bytes]:
    """The JSON of each row without its brackets."""
    rows = values.reshape(len(values), -1).tolist()
    if values.dtype.kind in "fiub" and values.size:
        return msgspec.json.encode(rows)[2:-2].split(b"],[")
    return [msgspec.json.encode(row)[1:-1] for row in rows]
