"""What the Lab panel is told without asking: that the ledger has grown."""

from __future__ import annotations

import msgspec

__all__ = ["LEDGER_EVENT", "LedgerChanged"]

LEDGER_EVENT = "urn:prodml-magics:events:ledger:v1"
"""Schema id of `LedgerChanged` on the event bus of the Jupyter server; an id, not an address."""


class LedgerChanged(msgspec.Struct, frozen=True):
    """Something was decided since the last such event; whoever shows the state asks for it again."""

    revision: int
