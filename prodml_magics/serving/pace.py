"""How fast a lane gets through its queue, which is slower than its model runs."""

from __future__ import annotations

import time

from prodml_magics.serving.version import LoadedVersion

__all__ = ["Pace"]


class Pace:
    """Of runs in a thread that follow one another: a run, and all that the loop does between two."""

    def __init__(self, version: LoadedVersion) -> None:
        self._version = version
        self._per_row = 0.0
        self._ended = 0.0
        """When the last such run ended, in monotonic seconds, where others waited for it; else 0."""

    def expected_seconds(self, rows: int) -> float:
        """How long it should take until `rows` that wait are answered."""
        return max(self._version.expected_seconds(rows), self._per_row * rows)

    def ended(self, rows: int, *, others_wait: bool) -> None:
        """Take a run of `rows` in a thread into the estimate; one that nobody waited for says only what runs take."""
        now = time.monotonic()
        found = (now - self._ended) / rows if self._ended else self._version.seconds_per_row
        before = self._per_row or self._version.seconds_per_row
        self._per_row = before + 0.1 * (min(found, 4 * before) - before)  # as `LoadedVersion.measured`
        self._ended = now if others_wait else 0.0
