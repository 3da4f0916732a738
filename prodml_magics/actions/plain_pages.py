"""Numbers of a Parquet file as they lie in its pages: plain ones are copied from the file into a core's cache, and nowhere else.

Parquet's own readers unpack into fresh memory and place nulls, which costs more than counting the numbers does. What is not laid out
plainly (dictionaries, nested columns, booleans, texts) is left to them. After the format's specification, parquet-format 2.10.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.actions.page_header import MOST_BYTES, PageHeader, page_header

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Pages", "PlainFile", "Room", "plain_file", "values_of"]


class Pages(NamedTuple):
    """The pages of one column in one row group: where they lie, and the rows that they hold."""

    offset: int
    size: int
    rows: int
    dtype: np.dtype[Any]
    codec: str
    nullable: bool


class PlainFile(NamedTuple):
    """A file, the rows of its row groups, and by column the pages in each of them; columns that are not laid out plainly are left out."""

    path: Path
    rows: tuple[int, ...]
    columns: dict[str, tuple[Pages, ...]]


_PHYSICAL = {"Float32": "FLOAT", "Float64": "DOUBLE", "Int32": "INT32", "UInt32": "INT32", "Int64": "INT64", "UInt64": "INT64"}
_PHYSICAL |= {"Datetime": "INT64"}
_DTYPES = {"Float32": "<f4", "Float64": "<f8", "Int32": "<i4", "UInt32": "<u4", "Int64": "<i8", "UInt64": "<u8"}
_CODECS = {"UNCOMPRESSED": "", "SNAPPY": "snappy", "ZSTD": "zstd", "GZIP": "gzip", "BROTLI": "brotli"}
_PLAIN = {"PLAIN", "RLE", "BIT_PACKED"}
"""The latter two are those of nulls."""


def plain_file(path: Path, schema: pl.Schema) -> PlainFile:
    """What of a file can be read so; `schema` is how polars sees it."""
    import pyarrow.parquet as pq

    footer = pq.ParquetFile(path).metadata
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    columns: dict[str, tuple[Pages, ...]] = {}
    for place in range(footer.num_columns):
        described = footer.schema.column(place)
        name = described.path
        dtype = _dtype(schema[name], described) if name in schema else None
        if dtype is not None:
            pages = [_pages(group.column(place), group.num_rows, dtype, described) for group in groups]
            plain = tuple(each for each in pages if each is not None)
            columns |= {name: plain} if len(plain) == len(pages) else {}
    return PlainFile(path, tuple(group.num_rows for group in groups), columns)


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


class Room(NamedTuple):
    """Bytes that are used again and again: a stretch of the file, and the values that are handed out."""

    stretch: NDArray[np.uint8]
    values: NDArray[np.uint8]


def values_of(file: FileIO, pages: Pages, room: Room) -> Iterator[tuple[NDArray[Any], int]]:
    """The present values, as many at a time as there is room for until the next; and how many are missing beside them.

    `file` is open without a buffer. Raises ValueError where the pages are not what the footer says.
    """
    values = room.values[: len(room.values) // pages.dtype.itemsize * pages.dtype.itemsize].view(pages.dtype)
    into, filled, missing = values.view(np.uint8).data, 0, 0
    for source, size, gaps in _parts(_Stretch(file, pages, room.stretch), pages):
        missing += gaps
        while size:
            more = min(size, len(into) - filled)
            source.copy(into[filled : filled + more])
            filled, size = filled + more, size - more
            if filled == len(into):
                yield values, missing
                filled = missing = 0
    if filled or missing:
        yield values[: filled // pages.dtype.itemsize], missing


class _Bytes:
    """Bytes that were unpacked."""

    def __init__(self, data: Any, at: int = 0) -> None:
        self._data, self._at = memoryview(data).cast("B"), at

    def copy(self, into: memoryview) -> None:
        """The next bytes."""
        into[:] = self._data[self._at : self._at + len(into)]
        self._at += len(into)


class _Stretch:
    """The bytes of some pages, read in long stretches: short reads of the page cache cost twice as much."""

    def __init__(self, file: FileIO, pages: Pages, room: NDArray[np.uint8]) -> None:
        self._file, self._left, self._room = file, pages.size, room.data
        self._at = self._end = 0
        file.seek(pages.offset)

    def peek(self, size: int) -> memoryview:
        """So many of the next bytes, or what there are; not more than there is room for."""
        if self._end - self._at < size and self._left:
            self._more()
        return self._room[self._at : min(self._end, self._at + size)]

    def skip(self, size: int) -> None:
        if size <= self._end - self._at:
            self._at += size
            return
        while size:
            some = len(self._some(size))
            self._at, size = self._at + some, size - some

    def copy(self, into: memoryview) -> None:
        """The next bytes."""
        done = 0
        while done < len(into):
            some = self._some(len(into) - done)
            into[done : done + len(some)] = some
            self._at += len(some)
            done += len(some)

    def _some(self, most: int) -> memoryview:
        if self._at == self._end and self._left:
            self._more()
        some = self._room[self._at : min(self._end, self._at + most)]
        if not some:
            raise ValueError("the file ends within a page")
        return some

    def _more(self) -> None:
        kept = self._end - self._at
        self._room[:kept] = self._room[self._at : self._end]
        self._at, self._end = 0, kept
        while self._left and self._end < len(self._room):
            read = self._file.readinto(self._room[self._end : self._end + self._left])
            if not read:
                raise ValueError("the file ends within a page")
            self._end += read
            self._left -= read


def _parts(stretch: _Stretch, pages: Pages) -> Iterator[tuple[_Stretch | _Bytes, int, int]]:
    """Of every page where to copy values from, their bytes, and the values that are missing."""
    rows = 0
    while rows < pages.rows:
        header, begin = _header(stretch)
        if not header.plain:
            raise ValueError("a page that is not plain")
        source, size = _part(stretch, header, begin, pages)
        count, rest = divmod(size, pages.dtype.itemsize)
        gaps = header.values - count
        if rest or count < 0 or gaps < 0 or (gaps and not pages.nullable):
            raise ValueError(f"{size} bytes in a page of {header.values} values")
        yield source, size, gaps
        rows += header.values
    if rows != pages.rows:
        raise ValueError(f"{rows} values where the footer says {pages.rows}")


def _header(stretch: _Stretch) -> tuple[PageHeader, bytes]:
    """The header of the next page, and the four bytes behind it, or what there are; it is not skipped."""
    for size in (_HEAD, MOST_BYTES):
        head = bytes(stretch.peek(size))
        try:
            header = page_header(head)
        except IndexError:
            continue
        if len(head) >= header.length + 4 or len(head) < size:
            return header, head[header.length : header.length + 4]
    raise ValueError("a page's header does not end")


def _part(stretch: _Stretch, header: PageHeader, begin: bytes, pages: Pages) -> tuple[_Stretch | _Bytes, int]:
    """Where the values of a page begin, and their bytes. Nulls are told before them, in the first kind of page after their size."""
    plain = header.levels or 0
    if not (pages.codec and header.packed):
        skipped = _levels(begin) if header.levels is None and pages.nullable else plain
        stretch.skip(header.length + skipped)
        return stretch, header.stored - skipped
    stretch.skip(header.length + plain)
    data = _unpacked(stretch, header.stored - plain, header.size - plain, pages.codec)
    skipped = _levels(data[:4]) if header.levels is None and pages.nullable else 0
    return _Bytes(data, skipped), len(data) - skipped


def _levels(begin: bytes | memoryview) -> int:
    """Bytes that tell where nulls are, those of their size among them."""
    if len(begin) < 4:
        raise ValueError("a page ends before its values")
    return 4 + int.from_bytes(begin[:4], "little")


def _unpacked(stretch: _Stretch, stored: int, size: int, codec: str) -> memoryview:
    import pyarrow as pa

    if not stored:
        return memoryview(b"")
    packed = bytearray(stored)
    stretch.copy(memoryview(packed))
    return memoryview(pa.Codec(codec).decompress(packed, size))
