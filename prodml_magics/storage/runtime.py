"""``runtime.json`` on disk, and the locks that say which process is alive whatever that file claims."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import msgspec

from prodml_magics.wire.runtime import Runtime

__all__ = ["Lock", "lock_holder", "read_runtime", "worker_role", "write_runtime"]

_TRIES = 40
_PAUSE = 0.05


def read_runtime(path: Path) -> Runtime | None:
    """The runtime file, or none when there is none or it is not readable as one (it is then written anew)."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Runtime)
    except (OSError, msgspec.DecodeError):
        return None


def write_runtime(path: Path, runtime: Runtime) -> None:
    """Replace the file at once, so that a reader sees the old or the new one, never half."""
    fresh = path.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(runtime), indent=1))
    fresh.replace(path)


def worker_role(number: int) -> str:
    """The name of a gateway worker: of its lock, its log and its markers."""
    return f"gateway-{number}" if number else "gateway"


class Lock:
    """A file that one process holds for as long as it lives, its pid in it.

    Raises ``BlockingIOError`` when another process holds it; a short try by `lock_holder` in between is waited out.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._acquire()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def _acquire(self) -> None:
        for attempt in range(_TRIES):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if attempt == _TRIES - 1:
                    os.close(self._descriptor)
                    raise
                time.sleep(_PAUSE)
            else:
                return

    def release(self) -> None:
        """Give the lock up; the end of the process does so as well."""
        os.close(self._descriptor)


def lock_holder(path: Path) -> int | None:
    """The pid of the process that holds `path` now, none when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 20)
        return int(text) if text.isdigit() else None
    else:
        return None
    finally:
        os.close(descriptor)
