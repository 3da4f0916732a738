"""Numbers of a Parquet file as they lie in its pages: plain ones are copied from the file into a core's cache, and nowhere else.

Parquet's own readers unpack into fresh memory and place nulls, which costs more than counting the numbers does. What is not laid out
plainly (dictionaries, nested columns, booleans, texts) is left to them. After the format's specification, parquet-format 2.10.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from io import FileIO
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from prodml_magics.actions.page_header import MOST_BYTES, PageHeader, page_header

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Pages", "PlainFile", "plain_file", "values_of"]


class Pages(NamedTuple):
    """The pages of one column in one row group: where they lie, and the rows that they hold."""

    offset: int
    size: int
    rows: int
    dtype: np.dtype[Any]
    codec: str
    nullable: bool


class PlainFile(NamedTuple):
    """A file, the rows of its row groups, by column of numbers that lie plainly the pages in each of them, and the dtypes of the others.

    `footer` is Arrow's, for whoever has the others decoded.
    """

    path: Path
    rows: tuple[int, ...]
    columns: dict[str, tuple[Pages, ...]]
    coded: dict[str, np.dtype[Any]]
    footer: Any = None

    @property
    def dtypes(self) -> dict[str, np.dtype[Any]]:
        return {name: pages[0].dtype for name, pages in self.columns.items() if pages} | self.coded


_PHYSICAL = {"Float32": "FLOAT", "Float64": "DOUBLE", "Int32": "INT32", "UInt32": "INT32", "Int64": "INT64", "UInt64": "INT64"}
_PHYSICAL |= {"Int8": "INT32", "Int16": "INT32", "UInt8": "INT32", "UInt16": "INT32", "Datetime": "INT64"}
_DTYPES = dict.fromkeys(("Int8", "Int16", "UInt8", "UInt16"), "<i4")
_DTYPES |= {"Float32": "<f4", "Float64": "<f8", "Int32": "<i4", "UInt32": "<u4", "Int64": "<i8", "UInt64": "<u8"}
_CODECS = {"UNCOMPRESSED": "", "SNAPPY": "snappy", "ZSTD": "zstd", "GZIP": "gzip", "BROTLI": "brotli"}
_PLAIN = {"PLAIN", "RLE", "BIT_PACKED"}
"""The latter two are those of nulls."""


def plain_file(path: Path, schema: pl.Schema) -> PlainFile:
    """Its flat columns of numbers; `schema` is how polars sees it."""
    import pyarrow.parquet as pq

    footer = pq.ParquetFile(path).metadata
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    columns: dict[str, tuple[Pages, ...]] = {}
    coded: dict[str, np.dtype[Any]] = {}
    for place in range(footer.num_columns):
        described = footer.schema.column(place)
        name = described.path
        dtype = _dtype(schema[name], described) if name in schema else None
        if dtype is not None:
            pages = [_pages(group.column(place), group.num_rows, dtype, described) for group in groups]
            plain = tuple(each for each in pages if each is not None)
            if len(plain) == len(pages):
                columns[name] = plain
            else:
                coded[name] = dtype
    return PlainFile(path, tuple(group.num_rows for group in groups), columns, coded, footer)


def _dtype(seen: Any, described: Any) -> np.dtype[Any] | None:
    """How NumPy calls the values of a flat column that holds what polars takes it for."""
    kind = str(seen.base_type())
    if described.max_repetition_level or described.max_definition_level > 1 or described.name != described.path:
        return None
    if _PHYSICAL.get(kind) != described.physical_type:
        return None
    if kind != "Datetime":
        return np.dtype(_DTYPES[kind])
    unit = {"milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"}
    logical = str(described.logical_type)
    found = next((short for long, short in unit.items() if f"timeUnit={long}" in logical), None)
    return np.dtype(f"<M8[{seen.time_unit}]") if found == seen.time_unit else None


def _pages(chunk: Any, rows: int, dtype: np.dtype[Any], described: Any) -> Pages | None:
    plain = set(chunk.encodings) <= _PLAIN and not chunk.has_dictionary_page
    if not plain or chunk.compression not in _CODECS or chunk.file_path or chunk.num_values != rows:
        return None
    nullable = described.max_definition_level == 1
    return Pages(chunk.data_page_offset, chunk.total_compressed_size, rows, dtype, _CODECS[chunk.compression], nullable)


_HEAD = 512
"""Bytes that are looked at first for a page's header."""

_MOST_ALIKE = 200
"""Pages that are read at once; systems take a thousand pieces."""


def values_of(file: FileIO, pages: Sequence[Pages], room: NDArray[np.uint8]) -> Iterator[tuple[NDArray[Any], int]]:
    """The present values of a column in some row groups, as many at a time as there is room for until the next; and how many are missing
    beside them.

    `file` is open without a buffer. Raises ValueError where the pages are not what the footer says.
    """
    dtype = pages[0].dtype
    values = room[: len(room) // dtype.itemsize * dtype.itemsize].view(dtype)
    into, filled, missing = values.view(np.uint8).data, 0, 0
    for part in chain.from_iterable(_parts(file, each, len(into)) for each in pages):
        while True:
            if filled and max(1, part.whole) > len(into) - filled:
                yield values[: filled // dtype.itemsize], missing
                filled = missing = 0
            more, gaps = part.read(into[filled:])
            filled, missing = filled + more, missing + gaps
            if not part.left:
                break
    if filled or missing:
        yield values[: filled // dtype.itemsize], missing


class _Part(Protocol):
    """Bytes of values: those that are `left`, and as many of them as are best read together."""

    left: int
    whole: int

    def read(self, into: memoryview) -> tuple[int, int]:
        """Bytes that were put there, and values that are missing beside them."""
        ...


class _Alike:
    """Pages in a row that have headers of one size and as many values, as long as they do: read at once, values beside values."""

    def __init__(self, file: FileIO, at: int, page: _Page, most: int) -> None:
        self._file, self.at, self._page, self._most = file, at, page, most
        self.whole = page.size
        self.seen = 0
        self.left = page.size

    def read(self, into: memoryview) -> tuple[int, int]:
        page = self._page
        count = min(self._most - self.seen, len(into) // page.size, _MOST_ALIKE)
        heads = [bytearray(page.lead) for _ in range(count)]
        bodies = [into[i * page.size : (i + 1) * page.size] for i in range(count)]
        _read(self._file, self.at, [piece for pair in zip(heads, bodies, strict=True) for piece in pair])
        alike = next((i for i, head in enumerate(heads) if not page.is_headed(head)), count)
        if not alike and not self.seen:
            raise ValueError("the file changes while it is read")
        self.seen += alike
        self.at += alike * (page.lead + page.size)
        self.left = page.size if alike == count and self.seen < self._most else 0
        return alike * page.size, alike * page.gaps


class _InPieces:
    """A page that is larger than the room."""

    def __init__(self, file: FileIO, at: int, page: _Page) -> None:
        self._file, self._at, self._gaps = file, at + page.lead, page.gaps
        self.left, self.whole = page.size, 0

    def read(self, into: memoryview) -> tuple[int, int]:
        piece, gaps = into[: self.left], self._gaps
        _read(self._file, self._at, [piece])
        self._at, self.left, self._gaps = self._at + len(piece), self.left - len(piece), 0
        return len(piece), gaps


class _Unpacked:
    """The values of a page that was packed."""

    def __init__(self, data: memoryview, gaps: int) -> None:
        self._data, self._gaps = data, gaps
        self.left, self.whole = len(data), 0

    def read(self, into: memoryview) -> tuple[int, int]:
        piece, gaps = self._data[len(self._data) - self.left :][: len(into)], self._gaps
        into[: len(piece)] = piece
        self.left, self._gaps = self.left - len(piece), 0
        return len(piece), gaps


class _Page(NamedTuple):
    """A page that is not packed: its header, bytes before its values (the header among them), theirs, and the values that are missing.

    `levels` is what is said behind the header of the size of that which tells where nulls are.
    """

    header: PageHeader
    levels: bytes
    lead: int
    size: int
    gaps: int

    def is_headed(self, head: bytearray) -> bool:
        """Whether another page begins as this one does, up to its statistics."""
        length = self.header.length
        try:
            return head[length : length + len(self.levels)] == self.levels and page_header(bytes(head)) == self.header
        except (IndexError, ValueError):
            return False


def _parts(file: FileIO, pages: Pages, room: int) -> Iterator[_Part]:
    """Each is to be read until nothing is left of it before the next."""
    at, end, rows = pages.offset, pages.offset + pages.size, 0
    while rows < pages.rows:
        header, levels = _header(file, at, end)
        if not header.plain or not header.values:
            raise ValueError("a page that is not plain")
        if pages.codec and header.packed:
            data = _unpacked(file, at + header.length, header, pages)
            yield _Unpacked(data, _gaps(header, len(data), pages))
            seen, at = 1, at + header.length + header.stored
        else:
            page = _page(header, levels, pages)
            most = min((pages.rows - rows) // header.values, (end - at) // (page.lead + page.size))
            if not most:
                raise ValueError("a page that ends behind the others")
            if 0 < page.size <= room:
                alike = _Alike(file, at, page, most)
                yield alike
                seen, at = alike.seen, alike.at
            else:
                yield _InPieces(file, at, page)
                seen, at = 1, at + page.lead + page.size
        rows += seen * header.values
    if rows != pages.rows:
        raise ValueError(f"{rows} values where the footer says {pages.rows}")


def _header(file: FileIO, at: int, end: int) -> tuple[PageHeader, bytes]:
    """The header of the page at this place, and the four bytes behind it, or what there are."""
    for size in (_HEAD, MOST_BYTES):
        file.seek(at)
        head = file.read(min(size, end - at)) or b""
        try:
            header = page_header(head)
        except IndexError:
            continue
        if len(head) >= header.length + 4 or len(head) < size:
            return header, head[header.length : header.length + 4]
    raise ValueError("a page's header does not end")


def _page(header: PageHeader, begin: bytes, pages: Pages) -> _Page:
    """Nulls are told before the values, in the first kind of page after the size of what tells them."""
    told = header.levels is None and pages.nullable
    skipped = _levels(begin) if told else header.levels or 0
    size = header.stored - skipped
    return _Page(header, begin[:4] if told else b"", header.length + skipped, size, _gaps(header, size, pages))


def _gaps(header: PageHeader, size: int, pages: Pages) -> int:
    """Values that are missing beside so many bytes of others."""
    count, rest = divmod(size, pages.dtype.itemsize)
    gaps = header.values - count
    if rest or count < 0 or gaps < 0 or (gaps and not pages.nullable):
        raise ValueError(f"{size} bytes in a page of {header.values} values")
    return gaps


def _levels(begin: bytes | memoryview) -> int:
    """Bytes that tell where nulls are, those of their size among them."""
    if len(begin) < 4:
        raise ValueError("a page ends before its values")
    return 4 + int.from_bytes(begin[:4], "little")


def _unpacked(file: FileIO, at: int, header: PageHeader, pages: Pages) -> memoryview:
    """The values of a page that is packed, as bytes."""
    import pyarrow as pa

    if (
        header.values > pages.rows or header.size > header.values * (pages.dtype.itemsize + 1) + 64
    ):  # levels take less than a byte each
        raise ValueError(f"a page of {header.values} values that unpacks to {header.size} bytes")
    plain = header.levels or 0
    packed = bytearray(header.stored - plain)
    _read(file, at + plain, [packed])
    if not packed:
        return memoryview(b"")
    data = memoryview(pa.Codec(pages.codec).decompress(packed, header.size - plain)).cast("B")
    return data[_levels(data[:4]) :] if header.levels is None and pages.nullable else data


def _read(file: FileIO, at: int, pieces: list[Any]) -> None:
    """Fill the pieces one after the other, in one call where the system has one for that and it reads all."""
    size = sum(map(len, pieces))
    if hasattr(os, "preadv") and len(pieces) > 1 and os.preadv(file.fileno(), pieces, at) == size:
        return
    file.seek(at)
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            read = file.readinto(rest)
            if not read:
                raise ValueError("the file ends within a page")
            rest = rest[read:]
