"""Remembers which version was running when a worker dies by a native crash, so that a shadow or canary is not run again.

The name is written to a small shared file before each run and cleared behind it: two writes to mapped memory. A worker that starts
after a crash (the supervisor hands it the signal) reads it: shadows and canaries are left out, of a live version it is only told.
"""

from __future__ import annotations

import mmap
import os
import signal
from pathlib import Path

__all__ = ["ShadowMarker"]

_SIZE = 256
_NOBODY = bytes(_SIZE)
_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}


class ShadowMarker:
    """The file, mapped; safe to use from shadow threads since each run writes the whole name."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._left = path.read_bytes().rstrip(b"\0").decode() if path.exists() else ""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(descriptor, _SIZE)
        self._map = mmap.mmap(descriptor, _SIZE)
        os.close(descriptor)
        self._written: dict[tuple[str, int], bytes] = {}
        self.clear()

    def quarantined(self) -> frozenset[tuple[str, int]]:
        """The version that was running when the last worker crashed, if that is how it ended."""
        crashed = -int(os.environ.get("PRODML_LAST_EXIT", "0")) in _CRASHES
        model, _, version = self._left.rpartition("@")
        return frozenset({(model, int(version))}) if crashed and model else frozenset()

    def set(self, model: str, version: int) -> None:
        """A run of this version begins."""
        written = self._written.get((model, version))
        if written is None:
            written = self._written[model, version] = f"{model}@{version}".encode().ljust(_SIZE, b"\0")
        self._map[:] = written

    def clear(self) -> None:
        """None runs."""
        self._map[:] = _NOBODY
