"""Numbers read from the pages of a Parquet file are those that polars reads, and so are their sketches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prodml_magics.actions import page_child, paged, plain_pages, streamed
from prodml_magics.actions.coded import decoded
from prodml_magics.actions.page_child import PageChild
from prodml_magics.actions.page_header import page_header
from prodml_magics.actions.plain_pages import PlainFile, plain_file, values_of
from prodml_magics.stats.drift import Reference, prepare
from prodml_magics.stats.drift.bucket import add, grids_of, sketch_column
from prodml_magics.stats.drift.numeric_sketch import NumericSketch

ROWS = 30_000


def _frame(seed: int, rows: int = ROWS) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    holes = rng.random(rows) < 0.2
    floats = rng.normal(size=rows).astype("f4")
    floats[rng.random(rows) < 0.05] = np.nan
    floats[:3] = (np.inf, -np.inf, -0.0)[: min(3, rows)]
    return pl.DataFrame(
        {
            "f4": floats,
            "f8": rng.lognormal(size=rows),
            "holes": pl.Series(rng.normal(size=rows)).set(pl.Series(holes), None),
            "whole holes": pl.Series(rng.integers(-9, 9, rows)).set(pl.Series(holes), None),
            "i4": rng.integers(-(2**31), 2**31, rows).astype("i4"),
            "u4": rng.integers(0, 2**32, rows).astype("u4"),
            "i8": rng.integers(-(2**60), 2**60, rows),
            "u8": rng.integers(0, 2**62, rows).astype("u8") * 4,
            "i1": rng.integers(-9, 9, rows).astype("i1"),
            "tied": np.round(rng.normal(size=rows), 1),
            "constant": np.ones(rows, "f4"),
            "nothing": pl.Series([None] * rows, dtype=pl.Float32),
            "flag": rng.random(rows) < 0.3,
            "city": rng.choice(["Oslo", "Rome"], rows),
            "at": pl.Series(rng.integers(0, 10**15, rows)).cast(pl.Datetime("us")).set(pl.Series(holes), None),
            "there": pl.Series(rng.integers(0, 10**12, rows)).cast(pl.Datetime("ms", "Europe/Oslo")),
            "took": pl.Series(rng.integers(0, 10**12, rows)).cast(pl.Duration("us")),
            "day": pl.Series(rng.integers(0, 10_000, rows).astype("i4")).cast(pl.Date),
        }
    )


PLAINLY = {"f4", "f8", "holes", "i4", "u4", "i8", "u8", "i1", "tied", "constant", "nothing", "at", "there"}
"""Columns that polars and pyarrow write plainly, as long as nobody asks for a dictionary."""

WRITERS: dict[str, Any] = {
    "polars": lambda frame, path: frame.write_parquet(path, row_group_size=7_000),
    "polars, not packed": lambda frame, path: frame.write_parquet(path, row_group_size=7_000, compression="uncompressed"),
    "pyarrow": lambda frame, path: _arrow(frame, path, compression="none"),
    "pyarrow, small pages": lambda frame, path: _arrow(frame, path, compression="snappy", data_page_size=2_000),
    "pyarrow, pages of the second kind": lambda frame, path: _arrow(frame, path, compression="zstd", data_page_version="2.0"),
    "pyarrow, second kind, not packed": lambda frame, path: _arrow(frame, path, compression="none", data_page_version="2.0"),
    "pyarrow, checksums": lambda frame, path: _arrow(frame, path, compression="gzip", write_page_checksum=True),
    "pyarrow, without statistics": lambda frame, path: _arrow(frame, path, compression="none", write_statistics=False),
    "pyarrow, dictionaries": lambda frame, path: _arrow(frame, path, use_dictionary=True),
}


def _arrow(frame: pl.DataFrame, path: Path, **options: Any) -> None:
    pq.write_table(frame.to_arrow(), path, row_group_size=7_000, **{"use_dictionary": False, **options})


def _plain(path: Path) -> PlainFile:
    return plain_file(path, pl.scan_parquet(path).collect_schema())


def _values(file: PlainFile, name: str, room: int = 4_096) -> tuple[np.ndarray, int]:
    parts, missing = [], 0
    with file.path.open("rb", buffering=0) as opened:
        for values, gaps in values_of(opened, file.columns[name], np.empty(room, np.uint8)):
            parts.append(values.copy())
            missing += gaps
    return np.concatenate(parts), missing


def _decoded(file: PlainFile, name: str, room: int) -> tuple[np.ndarray, int]:
    parts = list(decoded(file.path, name, range(len(file.rows)), file.dtypes[name], room))
    assert max(len(values) + missing for values, missing in parts) <= room
    return np.concatenate([values for values, _ in parts]), sum(missing for _, missing in parts)


@pytest.mark.parametrize("room", [4_096, 100_000])
@pytest.mark.parametrize("writer", WRITERS)
def test_pages_hold_what_polars_reads(writer: str, room: int, tmp_path: Path) -> None:
    path, frame = tmp_path / "a.parquet", _frame(0)
    WRITERS[writer](frame, path)
    file = _plain(path)
    if "dictionaries" in writer:
        assert not set(file.columns) & PLAINLY - {"nothing"}
    else:
        assert set(file.columns) >= PLAINLY - {"constant", "tied", "i1"}
    assert set(file.dtypes) == PLAINLY | {"whole holes"}
    for name in file.dtypes:
        found, missing = _values(file, name, room) if name in file.columns else _decoded(file, name, room)
        wanted = frame[name].drop_nulls().to_numpy()
        np.testing.assert_array_equal(found, wanted)
        assert (missing, found.dtype.kind) == (frame[name].null_count(), wanted.dtype.kind), name


def test_coded_numbers_that_arrow_sees_otherwise_are_left_to_polars(tmp_path: Path) -> None:
    path, frame = tmp_path / "a.parquet", _frame(0)
    _arrow(frame, path, use_dictionary=True)
    for name, dtype in (("f8", "<f4"), ("at", "<i8"), ("city", "<f8"), ("absent", "<f4")):
        with pytest.raises(ValueError):
            list(decoded(path, name, [0], np.dtype(dtype), 4_096))
    data = path.read_bytes()
    path.write_bytes(data[:4] + bytes(300) + data[304:])
    with pytest.raises((ValueError, OSError)):
        list(decoded(path, "f4", [0], np.dtype("<f4"), 4_096))


def test_tasks_have_at_the_least_as_many_rows_as_leave_each_worker_some() -> None:
    file = PlainFile(Path("a.parquet"), (500_000,) * 20, {}, {name: np.dtype("<f4") for name in "abcd"})
    for names, workers, wanted in (
        ("abcd", 2, [2_000_000] * 5),
        ("a" * 100, 2, [5_000_000] * 2),
        ("a" * 100, 16, [4_000_000] * 2),
    ):
        tasks = list(paged._tasks(file, list(names), workers))
        assert [task.rows for task in tasks[:: len(names)]][: len(wanted)] == wanted
        assert sum(task.rows for task in tasks) == 10_000_000 * len(names)


def test_pages_without_nulls_by_their_schema_hold_no_levels(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    schema = pa.schema([pa.field("x", pa.float64(), nullable=False), pa.field("parts", pa.list_(pa.float32()))])
    x = np.random.default_rng(0).normal(size=5_000)
    for version in ("1.0", "2.0"):
        pq.write_table(
            pa.table([pa.array(x), pa.array([[1.0]] * len(x), pa.list_(pa.float32()))], schema=schema),
            path,
            use_dictionary=False,
            data_page_version=version,
        )
        file = _plain(path)
        assert set(file.columns) == {"x"}
        assert _values(file, "x")[0].tolist() == x.tolist()


def _by_polars(reference: Reference, frame: pl.DataFrame) -> dict[str, Any]:
    """As sketches are made where there are no pages to read: batch by batch."""
    found: dict[str, Any] = {}
    for name, grid in grids_of(reference).items():
        parts = [
            sketch_column(name, grid, frame[name][start : start + 4_000].to_numpy()) for start in range(0, len(frame), 4_000)
        ]
        found[name] = sketch_column(name, grid, np.zeros(0))
        for part in parts:
            found[name] = add(found[name], part)
    return found


def _same(one: Any, other: Any, name: str) -> None:
    assert type(one) is type(other)
    if not isinstance(one, NumericSketch):
        assert (one.rows, one.missing, one.counts.tolist(), one.new) == (
            other.rows,
            other.missing,
            other.counts.tolist(),
            other.new,
        )
        return
    numbers = [(each.rows, each.missing, each.finite, each.counts.tolist()) for each in (one, other)]
    assert numbers[0] == numbers[1], name
    np.testing.assert_allclose(one.moments, other.moments, rtol=1e-5, atol=1e-2)
    np.testing.assert_allclose(one.beyond, other.beyond, rtol=1e-5)


@pytest.mark.parametrize("writer", WRITERS)
def test_sketches_of_pages_are_those_of_what_polars_reads(writer: str, tmp_path: Path) -> None:
    path, now = tmp_path / "now.parquet", _frame(1)
    WRITERS[writer](now, path)
    before = _frame(0)
    reference = prepare({name: before[name].to_numpy() for name in before.columns})
    scanned = streamed.scan(path)
    assert scanned is not None
    found, changed = streamed.sketched(scanned, reference, 1e-4)
    wanted = _by_polars(reference, now)
    assert not changed
    assert list(found) == list(wanted)
    for name in wanted:
        _same(found[name], wanted[name], name)


def test_an_empty_file_has_empty_sketches(tmp_path: Path) -> None:
    path, before = tmp_path / "now.parquet", _frame(0, 2_000)
    reference = prepare({name: before[name].to_numpy() for name in before.columns})
    for empty in (before.head(0).write_parquet, lambda to: pq.write_table(before.head(0).to_arrow(), to)):
        empty(path)
        scanned = streamed.scan(path)
        assert scanned is not None
        found, changed = streamed.sketched(scanned, reference, 1e-4)
        assert not changed
        assert {sketch.rows for sketch in found.values()} == {0}
        assert list(found) == before.columns


def test_pages_that_are_not_what_the_footer_says_are_left_to_polars(tmp_path: Path) -> None:
    path, frame = tmp_path / "a.parquet", _frame(0).select("f8", "i8")
    _arrow(frame, path, compression="none")
    file, reference = _plain(path), prepare({name: frame[name].to_numpy() for name in frame.columns})
    grids = grids_of(reference)
    whole = paged.sketch_pages(file, grids, lambda _: None)  # type: ignore[arg-type]
    assert {name: sketch.rows for name, sketch in whole.items()} == {"f8": ROWS, "i8": ROWS}
    first = file.columns["f8"][0]
    for wrong in (
        first._replace(rows=first.rows + 1),
        first._replace(rows=first.rows - 1),
        first._replace(size=first.size - 9),
        first._replace(offset=first.offset + 1),
        first._replace(nullable=False),
        first._replace(codec="zstd"),
    ):
        damaged = file._replace(columns=file.columns | {"f8": (wrong, *file.columns["f8"][1:])})
        found = paged.sketch_pages(damaged, grids, lambda _: None)  # type: ignore[arg-type]
        assert set(found) == {"i8"}, wrong


@pytest.mark.parametrize("wrong", [{"size": 2**40}, {"values": 2**40}])
def test_a_page_that_says_it_unpacks_to_more_than_it_can_is_left_to_polars(
    wrong: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, frame = tmp_path / "a.parquet", _frame(0).select("f8")
    _arrow(frame, path, compression="zstd")
    reference = prepare({"f8": frame["f8"].to_numpy()})
    monkeypatch.setattr(plain_pages, "page_header", lambda data: page_header(data)._replace(**wrong))
    assert paged.sketch_pages(_plain(path), grids_of(reference), lambda _: None) == {}  # type: ignore[arg-type]


def test_progress_reaches_the_last_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paged, "_ROWS", (7_000, 7_000))
    path, frame = tmp_path / "a.parquet", _frame(0).select("f4", "f8", "i8")
    frame.write_parquet(path, row_group_size=7_000)
    reference = prepare({name: frame[name].to_numpy() for name in frame.columns})
    told: list[int] = []
    paged.sketch_pages(_plain(path), grids_of(reference), told.append)  # type: ignore[arg-type]
    assert told == sorted(told)
    assert told[-1] == ROWS


def test_headers_read_by_pattern_are_those_read_field_by_field(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for name, writer in WRITERS.items():
        writer(_frame(0), path)
        for column, pages in _plain(path).columns.items():
            data = path.read_bytes()[pages[0].offset :][:512]
            found = page_header(data)
            # A field of a header that no reader knows yet, so that the pattern does not fit.
            unknown = page_header(data[: found.length - 1] + b"\x95\x02" + b"\x00") if found.levels is None else found
            assert unknown._replace(length=found.length) == found, (name, column)
            with pytest.raises(IndexError):
                page_header(data[: found.length - 1])


def test_nulls_told_in_packed_bits_make_a_page_no_plain_one() -> None:
    # Page type 0, 80 bytes unpacked and packed, then 10 values, plain, with levels of this encoding.
    told, bits = (
        b"\x15\x00\x15\xa0\x01\x15\xa0\x01\x2c\x15\x14\x15\x00\x15%b\x15\x06\x00\x00" % each for each in (b"\x06", b"\x08")
    )
    assert page_header(told)[1:] == (80, 80, 10, True, True, None)
    assert page_header(bits)[1:] == (80, 80, 10, False, True, None)


@pytest.mark.parametrize(
    "data",
    [b"\x15\x04\x00", b"\x15\x00\x15\x02\x15\x02\x00", b"\x1b\x00", b"\x15\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"],
)
def test_what_is_no_header_of_values_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"page"):
        page_header(data)


def _both(
    path: Path, monkeypatch: pytest.MonkeyPatch, writer: str = "polars"
) -> tuple[dict[str, NumericSketch], dict[str, NumericSketch]]:
    frame = _frame(0).select("f4", "f8", "i8", "at")
    WRITERS[writer](frame, path)
    reference = prepare({name: frame[name].to_numpy() for name in frame.columns})
    monkeypatch.setattr(paged, "_ROWS", (7_000, 7_000))
    file, grids = _plain(path), grids_of(reference)
    by_threads = paged.sketch_pages(file, grids, lambda _: None)  # type: ignore[arg-type]
    monkeypatch.setattr(paged, "_WORTH_CHILDREN", 0)
    return by_threads, paged.sketch_pages(file, grids, lambda _: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("writer", ["polars", "pyarrow, dictionaries"])
def test_processes_count_what_threads_count(writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[PageChild] = []
    calls: list[str] = []
    ask = PageChild.__call__

    def asked(child: PageChild, task: paged.Task) -> NumericSketch | None:
        found = ask(child, task)
        children.append(child)
        calls.append(task.name)
        return found

    monkeypatch.setattr(PageChild, "__call__", asked)
    monkeypatch.setattr(paged.os, "cpu_count", lambda: 3)
    by_threads, by_processes = _both(tmp_path / "a.parquet", monkeypatch, writer)
    assert len(calls) > 0
    for name, sketch in by_threads.items():
        _same(by_processes[name], sketch, name)
    assert all(child._process.returncode is not None for child in children)


def test_where_processes_end_or_do_not_start_threads_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_child.sys, "executable", "/bin/false")
    by_threads, without = _both(tmp_path / "a.parquet", monkeypatch)
    monkeypatch.setattr(page_child.sys, "executable", str(tmp_path / "nowhere"))
    _, unstarted = _both(tmp_path / "a.parquet", monkeypatch)
    for found in (without, unstarted):
        assert list(found) == list(by_threads)
        for name, sketch in by_threads.items():
            _same(found[name], sketch, name)
