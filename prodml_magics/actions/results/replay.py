"""What `replay` returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prodml_magics.actions.formats import moment, share, span
from prodml_magics.actions.results.base import Result, Table, seen
from prodml_magics.actions.results.paired import paired_facts, paired_frame
from prodml_magics.wire.results import ReplayRecord

if TYPE_CHECKING:
    import polars as pl


__all__ = ["ReplayResult"]


class ReplayResult(Result[ReplayRecord]):
    """Recorded requests answered anew, beside what was answered."""

    @property
    def title(self) -> str:
        each = self.record.comparison
        rows = f"{self.record.window.rows:,} rows"
        return f"{each.model}: version {each.shadow} replayed beside version {each.live} on {rows}: {self.verdict}"

    def facts(self) -> list[tuple[str, str]]:
        each = self.record
        found = paired_facts(each.comparison)
        found.append(("requests", f"{moment(each.window.since)} to {moment(each.window.until)}"))
        speed = f"{span(each.seconds)} on {each.device}, {each.rows_per_second:,.0f} rows/s, {span(each.run_seconds)} of it in the model"
        return [*found, ("took", speed)]

    def table(self) -> Table:
        names = ("rows", "differ", "mean difference of the score", "largest", "failed", "with a label", "right more often by")
        each = self.record.comparison
        differ = None if each.agreement is None else 1 - each.agreement
        labelled = each.verdict.labelled if each.verdict else 0
        gain = each.verdict.accuracy_difference if each.verdict else None
        row = (each.pairs, share(differ), each.mean_difference, each.max_difference, each.shadow_errors, labelled, gain)
        return names, [row]

    def warnings(self) -> Sequence[str]:
        skipped = f"{self.record.skipped:,} rows lack a value that was masked or never sent, and were not replayed"
        return [*([skipped] if self.record.skipped else []), *seen(self.record.seen_until)]

    @property
    def verdict(self) -> str:
        """``better``, ``no worse``, ``worse`` or ``undecided``."""
        return self.record.comparison.verdict.verdict if self.record.comparison.verdict else "undecided"

    @property
    def frame(self) -> pl.DataFrame:
        """One row with the comparison and all of its evidence."""
        return paired_frame([self.record.comparison])
