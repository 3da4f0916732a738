"""A stretch of time."""

from __future__ import annotations

from datetime import datetime

import msgspec

__all__ = ["Window"]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that were looked at: ``[since, until)`` and how many."""

    since: datetime | None
    until: datetime | None
    rows: int
