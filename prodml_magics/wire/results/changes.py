"""What was changed, and when."""

from __future__ import annotations

import msgspec

from prodml_magics.wire.status import TimelineEntry

__all__ = ["Change", "TimelineRecord"]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a route: deploy, rollback, undeploy, undo, start and end of a shadow."""

    model: str
    kind: str
    version: int | None
    """Version that is live now."""
    previous: int | None
    shadows: tuple[int, ...] = ()
    url: str | None = None
    event: int | None = None
    """Entry of the ledger; null when nothing had to change."""
    seconds: float = 0.0
    serving: bool = True
    """False when the gateway is down: the change takes effect when it starts."""
    note: str = ""
    bake: float | None = None
    """Seconds for which the version is watched, and goes back by itself; null where there is nothing to return to."""
    changes: tuple[str, ...] = ()
    """Of a dry run: every field that would change, as ``live: 1 → 2``."""


class TimelineRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of the ledger, oldest first."""

    entries: tuple[TimelineEntry, ...]
