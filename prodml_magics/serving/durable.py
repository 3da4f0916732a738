"""Rows on the disk itself: after a power cut, not only after the end of a process, is there what was answered before."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence

from prodml_magics.storage.spool import SpoolWriter

__all__ = ["DiskSync"]

_log = logging.getLogger(__name__)


class DiskSync:
    """Syncs what a writer has appended within the shortest time that anybody asked for, in a thread, one sync at a time.

    A power cut then loses at most what was answered within that time and the time of two syncs: the one that was under way when the
    row was appended, and its own.
    """

    def __init__(self, writer: SpoolWriter) -> None:
        self._writer = writer
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._running: asyncio.Future[None] | None = None
        self.problem = ""
        """Why the latest sync failed; empty when it did not."""

    def want(self, seconds: float) -> None:
        """What was appended has to be on the disk in `seconds`; call it on the event loop."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if self._due is not None and self._due <= due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due, self._writer.wants_sync = due, True
        self._timer = loop.call_at(due, self._begin)

    def _begin(self) -> None:
        if self._running is not None:
            return  # its end begins the next
        self._due = self._timer = None
        descriptors = self._writer.unsynced()
        self._running = asyncio.get_running_loop().run_in_executor(None, _sync, descriptors)
        self._running.add_done_callback(self._ended)

    def _ended(self, sync: asyncio.Future[None]) -> None:
        self._running = None
        error = sync.exception()
        if error is not None and str(error) != self.problem:
            _log.error("rows that were answered may not be on the disk: %s", error)
        self.problem = "" if error is None else f"rows are not written to the disk ({error})"
        if self._due is not None and self._due <= asyncio.get_running_loop().time():
            self._begin()

    def finish(self) -> None:
        """Sync what is left and return when it is on the disk; used once, at the end."""
        if self._timer is not None:
            self._timer.cancel()
        if self._due is not None:
            with contextlib.suppress(OSError):
                _sync(self._writer.unsynced())


def _sync(descriptors: Sequence[int]) -> None:
    """Sync and close every one; raises the first ``OSError``."""
    failed: OSError | None = None
    for descriptor in descriptors:
        try:
            os.fsync(descriptor)
        except OSError as error:
            failed = failed or error
        finally:
            os.close(descriptor)
    if failed is not None:
        raise failed
