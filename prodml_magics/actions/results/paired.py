"""What two versions said to the same rows, as facts and as a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from prodml_magics.actions.formats import number
from prodml_magics.wire.results import ShadowComparison

if TYPE_CHECKING:
    import polars as pl


__all__ = ["paired_facts", "paired_frame"]


def paired_facts(each: ShadowComparison) -> list[tuple[str, str]]:
    """Why, and what is missing, of a verdict on pairs."""
    verdict = each.verdict
    if verdict is None:
        return []
    found = [("why", verdict.reason), ("e-values", f"worse {number(verdict.e_worse)}, no worse {number(verdict.e_no_worse)}")]
    if verdict.slices:
        found.append(("differs most where", ", ".join(verdict.slices[:5])))
    if verdict.pairs_needed:
        found.append(("still needs", f"about {verdict.pairs_needed:,} pairs"))
    return found


def paired_frame(comparisons: Sequence[ShadowComparison]) -> pl.DataFrame:
    """One row for each comparison."""
    import polars as pl

    rows = []
    for each in comparisons:
        plain = msgspec.to_builtins(each)
        shown = plain.pop("verdict") or {}
        rows.append({**plain, **shown, "slices": list(shown.get("slices", ()))})
    return pl.DataFrame(rows, infer_schema_length=None)
