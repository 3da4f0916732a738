"""Ends of processes that are not ours to wait for."""

from __future__ import annotations

import os
import select
import signal
import time

import psutil

__all__ = ["end", "ended"]

_LOOK_SECONDS = 0.02


def ended(pid: int, timeout: float | None = None) -> bool:
    """Whether the process has ended, `timeout` seconds from now at the latest; without one, wait until it has.

    A zombie has ended: who inherited it may take long to notice, and the first process of a container often never does.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except (AttributeError, OSError):  # no Linux, or a sandbox that forbids the call
        return _ended_by_looking(pid, timeout)
    try:
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        return bool(waiting.poll(None if timeout is None else 1e3 * timeout))
    finally:
        os.close(descriptor)


def _ended_by_looking(pid: int, timeout: float | None) -> bool:
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            if psutil.Process(pid).status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return True
        except psutil.NoSuchProcess:
            return True
        if deadline is not None and time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)


def end(pid: int, patience: float) -> None:
    """Ask a process to end, and kill it when it has not after `patience` seconds; nothing where there is none.

    Raises `psutil.AccessDenied` where it belongs to somebody else.
    """
    try:
        process = psutil.Process(pid)
        process.send_signal(signal.SIGTERM)
        if not ended(pid, patience):
            process.kill()
    except psutil.NoSuchProcess:
        return
