"""Segments: what is appended is read, a torn tail is not, a full disk loses nothing, a dead writer is known to be dead."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodml_magics.errors import Unavailable
from prodml_magics.storage.arrays import from_array, to_array
from prodml_magics.storage.blocks import Block, pack, unpack
from prodml_magics.storage.spool import SpoolWriter, segments

from .conftest import block


def read(folder: Path) -> list[Block]:
    return [each for segment in segments(folder) for _, each in segment.blocks()]


def test_blocks_come_back_in_order_over_segments(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, segment_bytes=1000)
    for index in range(20):
        writer.append(block(3 * index))
    found = segments(tmp_path)
    assert len(found) > 3
    assert [each.sequence for each in read(tmp_path)] == list(range(0, 60, 3))
    assert [segment.finished() for segment in found] == [True] * (len(found) - 1) + [False]
    writer.close()
    assert all(segment.finished() for segment in segments(tmp_path))


@pytest.mark.parametrize("cut", [1, 7, 16, 40])
def test_a_torn_tail_is_left_out_and_put_aside(tmp_path: Path, cut: int) -> None:
    writer = SpoolWriter(tmp_path)
    writer.append(block(0))
    writer.append(block(3))
    writer.close()
    (segment,) = segments(tmp_path)
    os.truncate(segment.path, segment.path.stat().st_size - cut)
    ((end, first),) = segment.blocks()
    assert first == block(0)
    segment.remove(end)
    assert [path.suffix for path in tmp_path.iterdir()] == [".torn"]


@given(position=st.integers(0, 10_000), flip=st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_a_flipped_byte_is_never_read_as_data(position: int, flip: int) -> None:
    data = bytearray(pack(block(0)) + pack(block(3)))
    data[position % len(data)] ^= flip
    honest = [block(0), block(3)]
    assert [each for _, each in unpack(bytes(data))] in (honest[:0], honest[:1])


def test_a_full_disk_refuses_the_block_and_keeps_the_others(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path)
    writer.append(block(0))
    honest, writer._descriptor = writer._descriptor, os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(Unavailable, match="free space"):
        writer.append(block(3))
    assert writer.sequence == 3
    if writer._descriptor != honest:
        os.close(honest)
    writer.append(block(3))
    assert [each.sequence for each in read(tmp_path)] == [0, 3]
    writer.close()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    writer = SpoolWriter(tmp_path / "spool")
    with pytest.raises(Unavailable, match=r"make .*spool writable"):
        writer.open()
    with pytest.raises(Unavailable, match=r"make .*spool writable"):
        writer.append(block(0))
    (tmp_path / "spool").unlink()
    writer.append(block(0))
    assert [each.sequence for each in read(tmp_path / "spool")] == [0]
    writer.close()


def test_what_cannot_be_taken_back_ends_its_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = SpoolWriter(tmp_path)
    writer.append(block(0))
    honest = os.write

    def tears(descriptor: int, data: bytes) -> int:
        return honest(descriptor, data[:20])

    monkeypatch.setattr(os, "write", tears)
    monkeypatch.setattr(os, "ftruncate", lambda *_: os.write(-1, b""))
    with pytest.raises(Unavailable, match="only a part"):
        writer.append(block(3))
    monkeypatch.undo()
    writer.append(block(3))
    assert [each.sequence for each in read(tmp_path)] == [0, 3], "in two segments, the first with a torn tail"
    assert len(segments(tmp_path)) == 2
    writer.close()


def test_segments_wait_for_their_sync_where_one_was_asked_for(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path, segment_bytes=1)
    writer.append(block(0), sync=True)
    writer.wants_sync = True
    writer.append(block(3))
    writer.append(block(6))
    assert [segment.finished() for segment in segments(tmp_path)] == [False] * 3, "the reader may not remove them yet"
    descriptors = writer.unsynced()
    assert len(descriptors) == 4, "three segments and the folder"
    for descriptor in descriptors:
        os.fsync(descriptor)
        os.close(descriptor)
    assert [segment.finished() for segment in segments(tmp_path)] == [True, True, False]
    writer.close()


@pytest.mark.parametrize(
    "values",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.array([[1, 2]], dtype=">i8"),
        np.array([True, False]),
        np.empty((0, 4), np.float64),
        np.array([["a", None], ["", "😀"]], dtype=object),
        np.array([np.nan, np.inf, -0.0]),
    ],
)
def test_arrays_survive_the_block(values: np.ndarray) -> None:
    back = from_array(to_array(values))
    np.testing.assert_array_equal(back, values)
    assert back.shape == values.shape
