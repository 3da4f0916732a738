"""Ends runs of models that hang, from a thread of its own: while one hangs on the event loop nothing else of the worker moves."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from prodml_magics.serving.limits import Limits
from prodml_magics.serving.version import LoadedVersion

__all__ = ["Watchdog"]

_log = logging.getLogger(__name__)
_INTERVAL = 0.1


class Watchdog:
    """Looks ten times a second at the runs of every loaded version.

    A run on the event loop was expected to take milliseconds: one that takes `Limits.inline_limit` is ended, and tried again in a
    thread, where it has `Limits.deadline`. Nobody waits for it after that.
    """

    def __init__(self, versions: Callable[[], Iterable[LoadedVersion]], limits: Limits, loop_thread: int) -> None:
        self._versions = versions
        self._limits = limits
        self._loop_thread = loop_thread
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._stopping.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stopping.wait(_INTERVAL):
            for version in self._versions():
                if version.session.end_runs(self._overdue):
                    _log.warning("%s@%d was still running after its time and was ended", version.model, version.version)

    def _overdue(self, thread: int, started: float) -> bool:
        most = self._limits.inline_limit if thread == self._loop_thread else self._limits.deadline
        return time.monotonic() - started > most
