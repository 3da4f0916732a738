"""What `labels` returns."""

from __future__ import annotations

from collections.abc import Sequence

from prodml_magics.actions.results.base import Result
from prodml_magics.wire.results import LabelsRecord

__all__ = ["LabelsResult"]


class LabelsResult(Result[LabelsRecord]):
    """Labels that were taken, or how many rows have one."""

    @property
    def title(self) -> str:
        each = self.record
        if each.served is not None:
            return f"{each.model}: {each.labelled:,} of {each.served:,} answered rows have a label"
        return f"{each.model}: {each.taken:,} label{'' if each.taken == 1 else 's'} taken, {each.matched:,} of answered rows"

    def facts(self) -> list[tuple[str, str]]:
        found = [("corrected", f"{self.record.corrected:,} had a label before; the later one holds")]
        return found if self.record.corrected else []

    def warnings(self) -> Sequence[str]:
        return self.record.warnings
