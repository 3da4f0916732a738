"""Messages that begin as one did that was parsed: taken without being parsed again, whatever their id and their values are.

A message is its fields one behind the other, in any order; a field with raw contents says how long it is before they come. Where those of
the only tensor stand last, everything before them is the same in every request of a client but the id, which stands behind the names of
model and version where the client's library writes fields in their order. So ``A`` (names), id, ``B`` (the rest, up to the length of the
raw contents) and the raw contents are a message that means what ``A B`` means, with this id and these contents: ``A B`` was parsed once, as
a whole, by protobuf itself. What does not look like that is left to protobuf.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from prodml_magics.serving.raw import RawForm, raw_form
from prodml_magics.serving.reading import version_number
from prodml_magics.serving.rpc.messages import ModelInferRequest

__all__ = ["KnownMessage", "KnownMessages", "length_delimited"]

_NAME, _VERSION, _ID, _RAW = 0x0A, 0x12, 0x1A, 0x3A
"""Tags of model_name, model_version, id and raw_input_contents."""
_ONE_BYTE = 0x80
"""A length below is written in one byte."""
_HEADS = 1024
_HEAD_BYTES = 2048


class KnownMessage(NamedTuple):
    """Whom a message asks, and what its raw contents are."""

    model: str
    number: int | None
    form: RawForm


class KnownMessages:
    """Of one server."""

    def __init__(self) -> None:
        self._known: dict[bytes, KnownMessage] = {}
        """By ``A B``."""
        self._sizes: dict[int, int] = {}
        """Bytes of raw contents, by those of the message without its id."""

    def find(self, data: bytes) -> tuple[KnownMessage, str, bytes] | None:
        """Meaning, id and raw contents of a message; None where protobuf has to say."""
        where = _id_in(data)
        if where is None:
            return None
        begin, end = where
        cut = len(data) - self._sizes.get(len(data) - end + begin, len(data))
        if cut <= end:
            return None
        if begin == end:
            found = self._known.get(data[:cut])
            return None if found is None else (found, "", data[cut:])
        found = self._known.get(data[:begin] + data[end:cut])
        given = data[begin + 2 : end]
        return None if found is None or not given.isascii() else (found, given.decode(), data[cut:])

    def learn(self, data: bytes, message: Any) -> None:
        """Remember how `data` begins, which protobuf parsed as `message`, where it is of the usual form."""
        where, contents = _id_in(data), message.raw_input_contents
        if where is None or len(contents) != 1:
            return
        size = len(contents[0])
        head = _before(data, *where, size)
        if head is None:
            return
        try:
            whole: Any = ModelInferRequest.FromString(head[: -len(length_delimited(_RAW, size))])
        except DecodeError:  # these are no whole fields
            return
        if whole.id or whole.outputs or len(whole.inputs) != 1 or whole.raw_input_contents:
            return
        (tensor,) = whole.inputs
        form = raw_form(tensor.name, tensor.datatype, tensor.shape, size)
        if form is None or tensor.parameters or tensor.HasField("contents"):
            return
        if len(self._known) >= _HEADS:
            self._known.clear()
            self._sizes.clear()
        self._known[head] = KnownMessage(whole.model_name, version_number(whole.model_version or None), form)
        self._sizes[len(head) + size] = size


def _id_in(data: bytes) -> tuple[int, int] | None:
    """Where the id of a message begins and ends, where it stands behind the names; both are the same where it has none."""
    try:
        if data[0] != _NAME or data[1] >= _ONE_BYTE:
            return None
        begin = 2 + data[1]
        if data[begin] == _VERSION:
            if data[begin + 1] >= _ONE_BYTE:
                return None
            begin += 2 + data[begin + 1]
        if data[begin] != _ID:
            return begin, begin
        length = data[begin + 1]
        end = begin + 2 + length
        return None if length >= _ONE_BYTE or end >= len(data) else (begin, end)
    except IndexError:
        return None


def _before(data: bytes, begin: int, end: int, size: int) -> bytes | None:
    """A message without its id, up to its last `size` bytes; None where these are not said to be raw contents."""
    tag, cut = length_delimited(_RAW, size), len(data) - size
    if cut - len(tag) < end or cut > _HEAD_BYTES or data[cut - len(tag) : cut] != tag:
        return None
    return data[:begin] + data[end:cut]


def length_delimited(tag: int, length: int) -> bytes:
    """The bytes before the content of a field that says its length."""
    written = bytearray((tag,))
    while length >= _ONE_BYTE:
        written.append(length & 0x7F | _ONE_BYTE)
        length >>= 7
    written.append(length)
    return bytes(written)
