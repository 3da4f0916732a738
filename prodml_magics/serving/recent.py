"""How many a second there were of late, of what is told one by one."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

__all__ = ["Recent"]

_WINDOW = 10


class Recent:
    """Counts of the latest ten seconds; of use where one minute would show a burst too late and too small."""

    __slots__ = ("_began", "_monotonic", "_seconds")

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._began = monotonic()
        self._seconds: deque[list[int]] = deque()

    def count(self) -> None:
        """Take one, now."""
        second = int(self._monotonic())
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += 1
        else:
            self._forget(second)
            self._seconds.append([second, 1])

    def per_second(self) -> float:
        """Over the latest ten seconds, or since the beginning where that is less."""
        now = self._monotonic()
        self._forget(now)
        return sum(count for _, count in self._seconds) / min(_WINDOW, max(now - self._began, 1.0))

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0][0] <= now - _WINDOW:
            self._seconds.popleft()
