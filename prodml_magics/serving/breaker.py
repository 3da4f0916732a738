"""Keeps requests from a version that keeps failing, and lets a few through now and then to see whether it has recovered.

The circuit breaker of Nygard, Release It! (2007): closed while all is well, open while the version fails, half-open while it is tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import msgspec

__all__ = ["Breaker", "BreakerRules"]


class BreakerRules(msgspec.Struct, frozen=True, kw_only=True):
    """When a breaker opens and how it closes; counts are requests, times are seconds."""

    window: int = 20
    """It looks at so many of the latest requests …"""
    failures: int = 10
    """… and opens when so many of them failed."""
    pause: float = 2.0
    """How long it stays open the first time; twice as long after each failed trial."""
    longest_pause: float = 60.0
    probes: int = 3
    """Requests that a trial lets through, all of which must succeed."""


class Breaker:
    """Of one version; told what became of its requests, asked before one is sent only while it is not `closed`."""

    __slots__ = ("_history", "_mask", "_monotonic", "_pause", "_probes", "_rules", "_succeeded", "_trying", "_until", "closed")

    def __init__(self, rules: BreakerRules | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rules = rules or BreakerRules()
        self._monotonic = monotonic
        self._mask = (1 << self._rules.window) - 1
        self._history = 0
        """The latest requests as bits, the newest lowest; 1 is a failure."""
        self.closed = True
        self._pause = self._rules.pause
        self._until = 0.0
        self._probes = 0
        self._succeeded = 0
        self._trying = False

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """Closed lets everything through, open nothing, half-open the probes of a trial."""
        if self.closed:
            return "closed"
        return "half-open" if self._probes or self._monotonic() >= self._until else "open"

    def admits(self) -> bool:
        """Whether a request may go to the version now; while half-open a yes is one of the probes."""
        if self.closed:
            return True
        now = self._monotonic()
        if not self._probes and now >= self._until:
            # A probe may never come back (its client was refused before it ran), so that a trial ends with its pause.
            self._probes, self._succeeded, self._until = self._rules.probes, 0, now + self._pause
            self._trying = True
        if not self._probes:
            return False
        self._probes -= 1
        return True

    def took(self, succeeded: int, failed: int) -> None:
        """Take requests that were answered or failed; what was sent before it opened, and comes back before a trial, says nothing."""
        if not self.closed:
            if self._trying:
                self._tried(succeeded, failed)
        elif failed or self._history:
            width = self._rules.window
            kept = self._history << min(succeeded, width)
            self._history = (kept << min(failed, width) | (1 << min(failed, width)) - 1) & self._mask
            if self._history.bit_count() >= self._rules.failures:
                self._open(self._rules.pause)

    def _tried(self, succeeded: int, failed: int) -> None:
        if failed:
            self._open(min(self._pause * 2, self._rules.longest_pause))
            return
        self._succeeded += succeeded
        if self._succeeded >= self._rules.probes:
            self.closed, self._trying = True, False
            self._history = 0

    def _open(self, pause: float) -> None:
        self.closed = self._trying = False
        self._probes = 0
        self._pause, self._until = pause, self._monotonic() + pause
