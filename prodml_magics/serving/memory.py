"""The memory that the models of one worker may take: who is put away when it runs short, and what does not fit at all."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import psutil

from prodml_magics.errors import Unavailable
from prodml_magics.inference.cuda import gpu_memory
from prodml_magics.serving.version import LoadedVersion

__all__ = ["Memory", "expected_bytes", "gpu_memory_of_all"]

_FACTOR = 3
_BASE = 4 << 20


def expected_bytes(model: Path) -> int:
    """What a session of a file takes, before it was ever loaded: weights are kept, and copied and packed for the processor.

    Zero for a file that is not there: whoever loads it says so.
    """
    try:
        return _FACTOR * model.stat().st_size + _BASE
    except OSError:
        return 0


def _resident() -> int:
    found: int = psutil.Process(os.getpid()).memory_info().rss
    return found


class Memory:
    """Of one worker, which as a whole may take `most_bytes`; none is no bound. `held` is what a version takes of it."""

    def __init__(
        self,
        most_bytes: int | None = None,
        resident: Callable[[], int] = _resident,
        held: Callable[[LoadedVersion], int] = lambda version: version.bytes,
        name: str = "",
    ) -> None:
        self.most_bytes = most_bytes
        self.resident = resident
        self._held = held
        self._name = name

    def lacking(self, need: int = 0) -> int:
        """Bytes by which `need` more would be too much; 0 or less when it fits."""
        return 0 if self.most_bytes is None else self.resident() + need - self.most_bytes

    def make_room(self, need: int, idle: Iterable[LoadedVersion], busy: Iterable[LoadedVersion], where: str = "") -> None:
        """Put versions that are `idle` away, least recently used first, until `need` more bytes fit.

        Raises `Unavailable`, naming who holds memory, when they do not even so; nothing is put away then.
        """
        lacking = self.lacking(need)
        if lacking <= 0:
            return
        chosen: list[LoadedVersion] = []
        for version in sorted(idle, key=lambda each: each.used):
            if lacking <= 0:
                break
            chosen.append(version)
            lacking -= self._held(version)
        if lacking > 0 and where:
            raise Unavailable(self._refusal(need, where, list(busy)))
        for version in chosen:
            version.put_away()
        give_back()

    def _refusal(self, need: int, where: str, busy: Sequence[LoadedVersion]) -> str:
        assert self.most_bytes is not None
        largest = sorted(busy, key=lambda each: -self._held(each))[:3]
        held = ", ".join(f"{each.model}@{each.version} ({self._held(each) >> 20} MiB)" for each in largest)
        free = max(0, self.most_bytes - self.resident()) >> 20
        way_out = f"undeploy what is not needed, such as {held}" if held else "use a smaller model, or a machine with more memory"
        return (
            f"{where} needs about {need >> 20} MiB{self._name} and {free} MiB of {self.most_bytes >> 20} MiB are free; {way_out}"
        )


def gpu_memory_of_all() -> Memory | None:
    """The memory of the GPU, which this worker shares with whoever else uses it; None where there is none."""
    found = gpu_memory()
    if found is None:
        return None
    return Memory(found[1], lambda: (gpu_memory() or (0, 0))[0], lambda version: version.gpu_bytes, " of the GPU")


def give_back() -> None:
    """Hand freed memory back to the system, where the C library would keep it for later."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
