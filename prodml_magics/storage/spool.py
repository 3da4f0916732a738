"""The spool: segment files that one gateway worker appends and only the controller drains.

A worker is a writer with a name of its own; its rows are numbered through all its segments. The writer holds a lock on its
newest segment for as long as it lives, so that a reader knows without asking whether more can come.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from prodml_magics.errors import Unavailable
from prodml_magics.storage.blocks import Block, pack, unpack

__all__ = ["Segment", "SpoolWriter", "segments"]

_SEGMENT_BYTES = 64 << 20


class SpoolWriter:
    """Appends blocks; one write each, whole or not at all as far as any reader can tell."""

    def __init__(self, folder: Path, *, segment_bytes: int = _SEGMENT_BYTES) -> None:
        self.writer = f"{time.time_ns():x}-{os.getpid():x}-{secrets.token_hex(3)}"
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._number = -1
        self._size = 0
        self._descriptor = -1
        self._sequence = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._rotate()

    @property
    def sequence(self) -> int:
        """The number that the next row gets."""
        return self._sequence

    def append(self, block: Block) -> None:
        """Append `block`, whose `sequence` must be this writer's; `Unavailable` when the disk refuses, with nothing kept."""
        assert block.sequence == self._sequence, "rows are numbered without gaps"
        data = pack(block)
        if self._size and self._size + len(data) > self._segment_bytes:
            self._rotate()
        try:
            written = os.write(self._descriptor, data)
            if written < len(data):
                raise OSError("the disk took only a part of the block")
        except OSError as error:
            self._restore()
            raise Unavailable(f"the request log cannot be written ({error}); free space on the disk of {self._folder}") from error
        self._size += len(data)
        self._sequence += block.rows

    def close(self) -> None:
        """Give the segment to the reader; the writer is not used afterwards."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _restore(self) -> None:
        # A part of a block in the middle would hide every later one from the reader.
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            self._rotate()

    def _rotate(self) -> None:
        path = self._folder / f"{self.writer}.{self._number + 1:06d}.log"
        fresh = path.with_suffix(".new")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            # Locked before it can be seen: a reader takes an unlocked segment for one whose writer is dead.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fresh.rename(path)
        except OSError as error:
            raise Unavailable(f"the request log cannot be started ({error}); make {self._folder} writable") from error
        self.close()
        self._descriptor, self._number, self._size = descriptor, self._number + 1, 0


class Segment:
    """One segment file, for the one who drains."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer, number, _ = path.name.rsplit(".", 2)
        self.number = int(number)

    def blocks(self, offset: int = 0) -> Iterator[tuple[int, Block]]:
        """``(offset behind the block, block)`` from `offset` on, in the order in which they were written."""
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read()
        return ((offset + end, block) for end, block in unpack(data))

    def finished(self) -> bool:
        """True when its writer has moved on or is dead, so that nothing can be appended any more."""
        with self.path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def remove(self, read: int) -> None:
        """Delete the file once the `read` bytes of whole blocks in it are in the lake; a torn rest is put aside as ``.torn``."""
        if self.path.stat().st_size > read:
            self.path.rename(self.path.with_suffix(".torn"))
        else:
            self.path.unlink()


def segments(folder: Path) -> list[Segment]:
    """Every segment of the spool, each writer's in order."""
    found = [Segment(path) for path in folder.glob("*.log")]
    return sorted(found, key=lambda segment: (segment.writer, segment.number))
