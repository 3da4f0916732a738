"""What `optimize` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prodml_magics.actions.formats import number, share, size, span
from prodml_magics.actions.results.base import Result, Table
from prodml_magics.wire.results import OptimizeRecord, VariantRecord

if TYPE_CHECKING:
    from prodml_magics.views.picture import Picture

__all__ = ["OptimizeResult"]


class OptimizeResult(Result[OptimizeRecord]):
    """The variants of a version, and which of them is worth its difference."""

    @property
    def title(self) -> str:
        name = f"{self.record.model}@{self.record.version}"
        if self.record.chosen is None:
            return f"{name}: no variant is worth its difference; deploy the version as it is"
        return f"{name}: {self.record.chosen} is worth its difference; %deploy {name} --variant {self.record.chosen}"

    def facts(self) -> list[tuple[str, str]]:
        rows = f"{self.record.rows:,} rows, in {span(self.record.seconds)}; one thread, CPU"
        found = [("measured on", rows), ("may drop", share(self.record.max_drop))]
        return [*found, ("calibrated on", self.record.calibrated_on)] if self.record.calibrated_on else found

    def table(self) -> Table:
        times = ["µs, 1 row", "µs, 32 rows", "µs, 128 rows"]
        scores = ("score", "drop", "changed", "near the threshold", "score there", "loses most in")
        return ("variant", "size", *times, *scores, "kept"), [self._row(each) for each in self.record.variants]

    def picture(self) -> Picture | None:
        from prodml_magics.views.variants_picture import variants_picture

        return variants_picture(self.to_dict(), self.title)

    def _row(self, each: VariantRecord) -> tuple[Any, ...]:
        times = [number(each.microseconds.get(rows)) for rows in ("1", "32", "128")]
        kept = "" if each.name == "original" else "yes" if each.kept else f"no: {each.reason}"
        shares = [share(value) for value in (each.drop, each.changed, each.changed_near)]
        return (each.name, size(each.size_bytes), *times, each.score, *shares, each.score_near, _lost(each), kept)


def _lost(each: VariantRecord) -> str:
    """The part that loses most of its score; without a truth, and where none loses, the one in which most changed."""
    if not each.parts:
        return each.worst_slice
    worst = each.parts[0]
    return f"{worst.part}: {number(worst.original)} → {number(worst.score)}"
