"""What `plan` returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from prodml_magics.actions.formats import share
from prodml_magics.actions.results.base import Result, Table
from prodml_magics.wire.results import PlanRecord

if TYPE_CHECKING:
    import polars as pl


__all__ = ["PlanResult"]


class PlanResult(Result[PlanRecord]):
    """A ladder held against the traffic."""

    limit = 50

    @property
    def title(self) -> str:
        blind = sum(not step.sees for step in self.record.steps)
        what = f"{blind} of {len(self.record.steps)} guards and steps are blind" if blind else "every step can see the effect"
        return f"{self.record.model}@{self.record.version}: {what}"

    def facts(self) -> list[tuple[str, str]]:
        each = self.record
        found = [("traffic", f"{each.requests_per_hour:,.0f} requests per hour, {share(each.error_rate)} failed")]
        return [*found, ("try", each.proposal)] if each.warnings and each.proposal else found

    def table(self) -> Table:
        names = ("step", "guard", "effect", "requests until seen", "hours", "until no worse", "hours ", "seen in the step")
        rows = [
            (f"{row.percent:g} %", row.guard, row.effect, row.rows_until_harm, row.hours_until_harm, row.rows_until_no_worse,
             row.hours_until_no_worse, row.rows_seen)
            for row in self.record.steps
        ]  # fmt: skip
        if not self.record.simulated:
            return names, rows
        return (*names, "simulated until seen"), [
            (*row, step.simulated_rows if step.simulated_rows is not None else "not seen")
            for row, step in zip(rows, self.record.steps, strict=True)
        ]

    def warnings(self) -> Sequence[str]:
        return self.record.warnings

    @property
    def frame(self) -> pl.DataFrame:
        """One row per step and guard."""
        import polars as pl

        return pl.DataFrame([msgspec.to_builtins(row) for row in self.record.steps], infer_schema_length=None)
