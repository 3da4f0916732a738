"""What the ledger keeps: one frozen event for everything that was decided."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

__all__ = ["ROUTE_KINDS", "Cell", "Event"]

ROUTE_KINDS = ("deploy", "rollback", "undeploy", "shadow", "unshadow", "undo", "canary", "step", "promote", "abort")
"""Kinds whose payload carries the complete route after the event, under ``route``."""


class Cell(msgspec.Struct, frozen=True):
    """A notebook cell from which something was decided; in an entry's payload under ``cell``."""

    number: int
    """As the notebook counts executions."""
    source: str
    notebook: str = ""
    """Name of its file; empty where the kernel does not know it."""


class Event(msgspec.Struct, frozen=True):
    """One entry of the ledger; entries are never changed or removed."""

    id: int
    at: datetime
    actor: str
    kind: str
    model: str
    revision: int
    payload: dict[str, Any]
    inverse: dict[str, Any] | None
    """What undoes this entry: a payload for an ``undo`` event, or none when nothing can."""
    cause: str
    """Why: free text of the caller, or the rule that fired."""
