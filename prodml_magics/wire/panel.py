"""What the Lab panel is told besides the status: lists of entries, and that the ledger has grown."""

from __future__ import annotations

import msgspec

from prodml_magics.wire.status import TimelineEntry

__all__ = ["LEDGER_EVENT", "LedgerChanged", "TimelineReport"]

LEDGER_EVENT = "urn:prodml-magics:events:ledger:v1"
"""Schema id of `LedgerChanged` on the event bus of the Jupyter server; an id, not an address."""


class LedgerChanged(msgspec.Struct, frozen=True):
    """Something was decided since the last such event; whoever shows the state asks for it again."""

    revision: int


class TimelineReport(msgspec.Struct, frozen=True):
    """Entries of the ledger, the newest first."""

    entries: tuple[TimelineEntry, ...]
