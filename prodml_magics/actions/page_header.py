"""The header of a page in a Parquet file: a Thrift struct in the compact protocol, of which few fields matter."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

__all__ = ["MOST_BYTES", "PageHeader", "page_header"]

MOST_BYTES = 2**18
"""Of a header that is read; its statistics may hold texts."""

_BOOLEAN_TRUE, _BOOLEAN_FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_SIZE, _STORED, _FIRST, _SECOND = 2, 3, 5, 8
"""Fields of a header: size, size as it is stored, and what is told of a data page of the first and of the second kind."""


_RUN_LENGTHS = 3
"""How nulls are told in pages of the first kind; old writers packed bits, with no size before them."""


class PageHeader(NamedTuple):
    """Of a data page: bytes of the header, of the page as it is stored and unpacked, and the values in it, nulls among them.

    `levels` are the bytes before the values that tell where nulls are, never packed; None where the page itself begins with their size.
    """

    length: int
    stored: int
    size: int
    values: int
    plain: bool
    packed: bool
    levels: int | None


_NUMBER = rb"([\x80-\xff]*[\x00-\x7f])"
_TEXT = rb"[\x18\x28\x38\x48\x58\x68](?:\x04.{4}|\x08.{8})"
_SCALAR = rb"[\x16\x26\x36\x46][\x80-\xff]*[\x00-\x7f]|[\x11\x12\x21\x22]"
_COMMON = re.compile(
    rb"\x15\x00\x15" + _NUMBER + rb"\x15" + _NUMBER + rb"\x2c\x15" + _NUMBER + rb"\x15\x00\x15\x06\x15\x06"
    rb"(?:\x1c(?:" + _TEXT + rb"|" + _SCALAR + rb")*\x00)?\x00\x00",
    re.DOTALL,
)
"""A plain page of the first kind, nulls told by run lengths, with statistics of numbers or none: writers make them by the dozen."""


def page_header(data: bytes) -> PageHeader:
    """Read the header that `data` begin with; IndexError where they end before it does, ValueError where there is none."""
    if common := _COMMON.match(data):
        return _of_common(common.end(), *common.groups())
    fields, length = _struct(data, 0)
    first, second = fields.get(_FIRST), fields.get(_SECOND)
    told = first if isinstance(first, dict) else second
    if not isinstance(told, dict):
        raise ValueError("a page that holds no values")
    stored, size, values = _whole(fields, _STORED), _whole(fields, _SIZE), _whole(told, 1)
    if told is first:
        plain = _whole(told, 2) == 0 and _whole(told, 3) == _RUN_LENGTHS
        return PageHeader(length, stored, size, values, plain, True, None)
    levels = _whole(told, 5) + _whole(told, 6)
    return PageHeader(length, stored, size, values, _whole(told, 4) == 0, told.get(7, True) is not False, levels)


@lru_cache(maxsize=256)
def _of_common(length: int, size: bytes, stored: bytes, values: bytes) -> PageHeader:
    """Most pages of a file are alike in these."""
    return PageHeader(length, _zigzag(stored, 0)[0], _zigzag(size, 0)[0], _zigzag(values, 0)[0], True, True, None)


def _whole(fields: dict[int, object], field: int) -> int:
    value = fields.get(field)
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"field {field} of a page's header is {value!r}")
    return value


def _struct(data: bytes, at: int) -> tuple[dict[int, object], int]:
    fields: dict[int, object] = {}
    field = 0
    while True:
        head = data[at]
        at += 1
        if not head:
            return fields, at
        kind = head & 15
        if head >> 4:
            field += head >> 4
        else:
            field, at = _zigzag(data, at)
        if kind <= _BOOLEAN_FALSE:
            fields[field] = kind == _BOOLEAN_TRUE
        else:
            fields[field], at = _value(data, at, kind)


def _value(data: bytes, at: int, kind: int) -> tuple[object, int]:
    if _BYTE < kind < _DOUBLE:
        return _zigzag(data, at)
    if kind == _BINARY:
        size, at = _varint(data, at)
        return None, at + size
    if kind == _STRUCT:
        return _struct(data, at)
    if kind in (_BYTE, _DOUBLE):
        return None, at + (1 if kind == _BYTE else 8)
    if kind in (_LIST, _SET):
        return _list(data, at)
    raise ValueError(f"a page's header holds a value of kind {kind}")


def _list(data: bytes, at: int) -> tuple[None, int]:
    head = data[at]
    count, at = (head >> 4, at + 1) if head >> 4 < 15 else _varint(data, at + 1)
    for _ in range(count):
        if head & 15 <= _BOOLEAN_FALSE:
            at += 1
        else:
            _, at = _value(data, at, head & 15)
    return None, at


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    number, at = _varint(data, at)
    return (number >> 1) ^ -(number & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    at += 1
    number, shift = byte & 127, 7
    while byte > 127:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        shift += 7
        if shift > 70:
            raise ValueError("a number without end in a page's header")
    return number, at
