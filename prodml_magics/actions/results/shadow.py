"""What `shadow` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prodml_magics.actions.formats import milliseconds, share
from prodml_magics.actions.results.base import Result, Table, seen
from prodml_magics.actions.results.paired import paired_facts, paired_frame
from prodml_magics.wire.results import ShadowComparison, ShadowRecord

if TYPE_CHECKING:
    import polars as pl

    from prodml_magics.views.picture import Picture

__all__ = ["ShadowResult"]


class ShadowResult(Result[ShadowRecord]):
    """Shadow and live side by side; `drawing` is what the picture of the first shadow shows."""

    def __init__(self, record: ShadowRecord, drawing: Mapping[str, Any] | None = None) -> None:
        super().__init__(record)
        self.drawing = drawing

    def picture(self) -> Picture | None:
        from prodml_magics.views.shadow_picture import shadow_picture

        return shadow_picture(self.drawing) if self.drawing else None

    @property
    def title(self) -> str:
        return "; ".join(_shadow_title(each) for each in self.record.comparisons)

    def facts(self) -> list[tuple[str, str]]:
        several = len(self.record.comparisons) > 1
        return [
            (f"{label} ({each.shadow})" if several else label, said)
            for each in self.record.comparisons
            for label, said in paired_facts(each)
        ]

    def table(self) -> Table:
        names = ("", "live", "shadow")
        rows: list[tuple[str, Any, Any]] = []
        for each in self.record.comparisons:
            rows += [
                ("version", each.live, each.shadow),
                ("model run, median", milliseconds(each.live_run_ms), milliseconds(each.shadow_run_ms)),
                ("failed rows", each.live_errors, each.shadow_errors),
                ("rows dropped", "–", each.dropped),
                ("mean difference of the score", "–", each.mean_difference),
                ("largest difference", "–", each.max_difference),
            ]
        return names, rows

    def warnings(self) -> Sequence[str]:
        return seen(self.record.seen_until)

    @property
    def frame(self) -> pl.DataFrame:
        """One row per shadow with all of its evidence."""
        return paired_frame(self.record.comparisons)

    @property
    def verdict(self) -> str:
        """``better``, ``no worse``, ``worse`` or ``undecided``, of the first shadow; ``frame`` has those of all."""
        verdict = self.record.comparisons[0].verdict
        return verdict.verdict if verdict else "undecided"


def _shadow_title(each: ShadowComparison) -> str:
    if not each.pairs:
        return f"{each.model}: version {each.shadow} has mirrored no row of version {each.live} yet"
    said = "" if each.agreement is None else f", labels agree on {share(each.agreement)}"
    verdict = f": {each.verdict.verdict}" if each.verdict else ""
    return f"{each.model}: shadow {each.shadow} beside live {each.live} on {each.pairs:,} rows{said}{verdict}"
