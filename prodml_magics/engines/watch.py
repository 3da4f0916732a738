"""Looks after gateway workers that live but do not serve: one that hangs is killed, one that leaks is asked to end."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import signal
import threading
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import urlsplit

import psutil

__all__ = ["Watch", "Watched", "room_for_models"]

_log = logging.getLogger("supervisor")
_INTERVAL = 5.0
_PATIENCE = 5.0
_MISSES = 3
_SHARE_OF_MEMORY = 0.8
_SHARE_FOR_MODELS = 0.75


def memory_of_one(workers: int) -> int:
    """What one of so many workers may take before it is ended."""
    return int(psutil.virtual_memory().total * _SHARE_OF_MEMORY / max(workers, 1))


def room_for_models(workers: int) -> int:
    """What it may take before it puts models away itself; well below."""
    return int(_SHARE_FOR_MODELS * memory_of_one(workers))


class Watched(Protocol):
    """A worker, as far as it is watched."""

    own_url: str
    pid: int | None
    role: str


class Watch:
    """Asks every worker for its health now and then; whoever waits for its end then starts the next.

    A worker that has answered once and then misses three questions in a row, 30 s, is killed. One whose memory is above its share
    of 80 % of the machine's is ended gracefully.
    """

    def __init__(
        self,
        workers: Sequence[Watched],
        stopping: threading.Event,
        *,
        interval: float = _INTERVAL,
        patience: float = _PATIENCE,
        most_bytes: int | None = None,
    ) -> None:
        self._workers = workers
        self._stopping = stopping
        self._interval, self._patience = interval, patience
        self._most_bytes = most_bytes or memory_of_one(len(workers))
        self._misses: dict[int, int] = {}
        """By pid; only of processes that have answered."""

    def run(self) -> None:
        """Watch until told to stop."""
        while not self._stopping.wait(self._interval):
            for worker in self._workers:
                self.look(worker)

    def look(self, worker: Watched) -> None:
        """Look at one worker once."""
        pid = worker.pid
        if pid is None:
            return
        if _answers(worker.own_url, self._patience):
            self._misses[pid] = 0
            self._check_memory(worker, pid)
        elif pid in self._misses:
            self._misses[pid] += 1
            if self._misses[pid] >= _MISSES:
                del self._misses[pid]
                _log.error("%s %d does not answer and is killed", worker.role, pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _check_memory(self, worker: Watched, pid: int) -> None:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            used = process.memory_info().rss
            if used > self._most_bytes:
                _log.error("%s %d uses %d MiB of memory and is replaced", worker.role, pid, used >> 20)
                process.terminate()


def _answers(url: str, patience: float) -> bool:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=patience)
    try:
        connection.request("GET", "/v2/health/live")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
