"""What `timeline` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from prodml_magics.actions.results.base import Result, Table
from prodml_magics.wire.results import TimelineRecord
from prodml_magics.wire.status import TimelineEntry

if TYPE_CHECKING:
    import polars as pl

    from prodml_magics.views.picture import Picture

__all__ = ["TimelineResult"]


class TimelineResult(Result[TimelineRecord]):
    """The ledger as people read it."""

    limit = 50

    @property
    def title(self) -> str:
        count = len(self.record.entries)
        return (
            f"{count} ledger {'entry' if count == 1 else 'entries'}"
            if count
            else "the ledger is empty; %register is where it begins"
        )

    def table(self) -> Table:
        names = ("id", "at (UTC)", "model", "kind", "summary", "why", "by")
        return names, [
            (each.id, f"{each.at:%Y-%m-%d %H:%M:%S}", each.model, each.kind, each.summary, each.cause, _by(each))
            for each in self.record.entries
        ]

    @property
    def frame(self) -> pl.DataFrame:
        """One row per entry, times as UTC datetimes."""
        import polars as pl

        fields = (
            "id", "at", "actor", "model", "kind", "summary", "live", "canary", "share", "tier", "cause", "evidence", "cell", "source",
            "can_undo",
        )  # fmt: skip
        return pl.DataFrame(
            [{name: getattr(each, name) for name in fields} for each in self.record.entries], infer_schema_length=None
        )

    def picture(self) -> Picture | None:
        from prodml_magics.views.timeline_picture import timeline_picture

        entries = [msgspec.to_builtins(each) for each in self.record.entries]
        return timeline_picture(entries) if any(each["live"] for each in entries) else None


def _by(entry: TimelineEntry) -> str:
    return f"{entry.actor}, cell {entry.cell}" if entry.cell else entry.actor
