"""Tells listeners that the ledger has grown, and looks at the ledger only while someone listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tornado.ioloop import PeriodicCallback

from prodml_magics.clock import Clock, SystemClock
from prodml_magics.errors import ProdmlError

__all__ = ["LedgerWatch"]

EVERY = 1.0
"""Seconds between two looks at the ledger."""

LISTENING = 60.0
"""Seconds for which a request counts as someone listening; an open panel asks more often than that."""


class LedgerWatch:
    """Calls `emit` with the ledger's revision whenever it differs from the last one seen."""

    def __init__(self, revision: Callable[[], int], emit: Callable[[int], None], clock: Clock | None = None) -> None:
        self._revision = revision
        self._emit = emit
        self._clock = clock or SystemClock()
        self._heard_at: float | None = None
        self._seen: int | None = None
        self._timer = PeriodicCallback(self.look, EVERY * 1000)

    async def heard(self) -> None:
        """Someone asks for the state: watch for a while.

        Await it before the state is read: what changed while nobody listened is then in that state, and what changes
        from here on is told, even when it changes before the answer is out.
        """
        self._heard_at = self._clock.monotonic()
        if not self._timer.is_running():
            self._seen = None
            self._timer.start()
            await self.look()

    @property
    def watching(self) -> bool:
        """Whether the ledger is being looked at."""
        return self._timer.is_running()

    async def look(self) -> None:
        """Look at the ledger once, or stop looking when nobody has asked for a while."""
        if self._heard_at is None or self._clock.monotonic() - self._heard_at > LISTENING:
            self.stop()
            return
        try:
            revision = await asyncio.get_running_loop().run_in_executor(None, self._revision)
        except ProdmlError:
            return  # the panel shows why when it asks for the status
        if self._seen is not None and revision != self._seen:
            self._emit(revision)
        self._seen = revision

    def stop(self) -> None:
        """Stop looking until someone is heard again."""
        self._timer.stop()
