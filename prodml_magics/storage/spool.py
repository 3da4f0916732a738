"""The spool: segment files that one gateway worker appends and only the controller drains.

A worker is a writer with a name of its own; its rows are numbered through all its segments. The writer holds a lock on its
newest segment for as long as it lives, so that a reader knows without asking whether more can come.
"""

from __future__ import annotations

import contextlib
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
    """Appends blocks; one write each, whole or not at all as far as any reader can tell.

    A segment is begun with the first block, or by `open`, and again after every failure, so that a disk which was full or
    read-only is written to as soon as it can be.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = _SEGMENT_BYTES) -> None:
        self.writer = f"{time.time_ns():x}-{os.getpid():x}-{secrets.token_hex(3)}"
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._number = -1
        self._size = 0
        self._descriptor = -1
        self._named = False
        """Whether the name of the segment is on the disk, where that was asked for."""
        self._sequence = 0
        self._left: list[int] = []
        """Segments that are complete, still open since `unsynced` has yet to hand them out."""
        self.wants_sync = False
        """Whether somebody will ask for `unsynced`: segments that are complete then stay open until then."""

    def open(self) -> None:
        """Begin a segment where none is open; `Unavailable` when the disk refuses."""
        if self._descriptor < 0:
            self._rotate()

    @property
    def sequence(self) -> int:
        """The number that the next row gets."""
        return self._sequence

    def append(self, block: Block, *, sync: bool = False) -> None:
        """Append `block`, whose `sequence` must be this writer's; `Unavailable` when the disk refuses, with nothing kept.

        With `sync` it is on the disk itself when this returns, and survives a power cut.
        """
        assert block.sequence == self._sequence, "rows are numbered without gaps"
        data = pack(block)
        if self._descriptor < 0 or (self._size and self._size + len(data) > self._segment_bytes):
            self._rotate()
        try:
            written = os.write(self._descriptor, data)
            if written < len(data):
                raise OSError("the disk took only a part of the block")
            if sync:
                os.fsync(self._descriptor)
                self._sync_folder()
        except OSError as error:
            self._restore()
            raise Unavailable(f"the request log cannot be written ({error}); free space on the disk of {self._folder}") from error
        self._size += len(data)
        self._sequence += block.rows

    def unsynced(self) -> list[int]:
        """Descriptors of segments whose rows may not be on the disk yet, and of their folder; the caller syncs and closes them."""
        found, self._left, self.wants_sync = self._left, [], False
        if self._descriptor >= 0:
            found.append(os.dup(self._descriptor))
        with contextlib.suppress(OSError):
            found.append(os.open(self._folder, os.O_RDONLY))
        return found

    def close(self) -> None:
        """Give the segment to the reader; the writer is not used afterwards."""
        for descriptor in (*self._left, self._descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._left, self._descriptor = [], -1

    def _sync_folder(self) -> None:
        # A file is on the disk only once its name is.
        if not self._named:
            descriptor = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._named = True

    def _restore(self) -> None:
        # A part of a block in the middle would hide every later one from the reader.
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            os.close(self._descriptor)
            self._descriptor = -1

    def _rotate(self) -> None:
        path = self._folder / f"{self.writer}.{self._number + 1:06d}.log"
        fresh = path.with_suffix(".new")
        descriptor = -1
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            fresh.unlink(missing_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            # Locked before it can be seen: a reader takes an unlocked segment for one whose writer is dead.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fresh.rename(path)
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
            raise Unavailable(f"the request log cannot be started ({error}); make {self._folder} writable") from error
        if self._descriptor >= 0:
            if self.wants_sync:
                self._left.append(self._descriptor)
            else:
                os.close(self._descriptor)
        self._descriptor, self._number, self._size, self._named = descriptor, self._number + 1, 0, False


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
