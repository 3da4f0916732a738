"""What keeps a Delta table fast and small while it is appended to every second: compaction, log clean-up, vacuum, retention.

An append reads the table's state first, which grows with every live file: at ten thousand small files it takes a second. Files are
put together by partition up to a size at which putting them together again is not worth it, so that a row is rewritten a bounded
number of times however long a day is.

Everything here may run beside appends: appends retry, and what is removed was replaced an hour ago.
"""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

from prodml_magics.errors import Unavailable, first_line
from prodml_magics.storage.lake import PROPERTIES, Lake

__all__ = ["FEW_FILES", "Upkeep"]

FEW_FILES = 64
"""Small files of a partition that are left alone."""
_TARGET_BYTES = 32 << 20
_REPLACED_HOURS = 1


class Upkeep:
    """Of the tables of one lake."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def compact(self, path: str) -> int:
        """Put small files of each partition together where there are more than `FEW_FILES`; returns how many files went into others."""
        table = self._lake.table(path)
        if table is None:
            return 0
        parts = table.metadata().partition_columns
        replaced = 0
        for values, count in _small_files(table, parts).items():
            if count > FEW_FILES:
                filters = [(name, "=", value) for name, value in zip(parts, values, strict=True)]
                found = self._attempt(
                    path, lambda filters=filters: table.optimize.compact(filters or None, target_size=_TARGET_BYTES)
                )
                replaced += found["numFilesRemoved"]
        return replaced

    def sweep(self, path: str) -> int:
        """Write a checkpoint, drop the log before it, and remove files that were replaced an hour ago; returns how many of them."""
        table = self._lake.table(path)
        if table is None:
            return 0
        configured = table.metadata().configuration
        if any(configured.get(name) != value for name, value in PROPERTIES.items()):  # made by an earlier release
            self._attempt(path, lambda: table.alter.set_table_properties(PROPERTIES))
        # Only files that the log names as replaced: the modification time of one that is yet to be committed proves nothing when a
        # clock has jumped.
        removed = self._attempt(
            path,
            lambda: table.vacuum(_REPLACED_HOURS, dry_run=False, enforce_retention_duration=False, full=False),
        )
        self._attempt(path, table.create_checkpoint)
        self._attempt(path, table.cleanup_metadata)
        return len(removed)

    def forget(self, model: str, before: date) -> int:
        """Delete the requests of whole days before `before`; returns how many files that were. `sweep` removes them from the disk."""
        path = self._lake.requests(model)
        table = self._lake.table(path)
        if table is None or not any(day < before.isoformat() for (day,) in _small_files(table, ["date"], None)):
            return 0
        found = self._attempt(path, lambda: table.delete(f"date < '{before.isoformat()}'"))
        return int(found["num_removed_files"])

    def _attempt(self, path: str, work: Any) -> Any:
        try:
            return work()
        except Exception as error:
            reason = first_line(error)
            raise Unavailable(f"the lake {path} cannot be tended ({reason}); check space and permissions") from error


def _small_files(table: Any, parts: list[str], smaller: int | None = _TARGET_BYTES // 2) -> Counter[tuple[str, ...]]:
    """How many files each partition has; only those smaller than so many bytes, where that is given."""
    actions = table.get_add_actions(flatten=True)
    columns = {name: actions.column(name).to_pylist() for name in ("size_bytes", *(f"partition.{part}" for part in parts))}
    kept = [index for index, size in enumerate(columns["size_bytes"]) if smaller is None or size < smaller]
    return Counter(tuple(columns[f"partition.{part}"][index] for part in parts) for index in kept)
