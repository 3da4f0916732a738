"""Pairs of answers on their way into a verdict, chunk by chunk: what shadows and replays have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.schema import Contract
from prodml_magics.monitoring.pairs import Answers, Slicer, Unit, compared, gained, truth_of, unit_of
from prodml_magics.rollouts.paired import PairedTally, Pairs, Tolerances, counted, judged
from prodml_magics.storage.labels import LabelStore, with_labels
from prodml_magics.wire.rollouts import PairedVerdict

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Comparing", "labels_of", "struct_columns"]


class Comparing:
    """What the pairs of two versions say so far; `contract` is the live version's.

    Requests that carry a routing key count once per key, with the first row of it: one user's rows are alike.
    """

    def __init__(self, contract: Contract, tolerances: Tolerances) -> None:
        self.tally = PairedTally()
        self.unit: Unit | None = None
        self._contract = contract
        self._tolerances = tolerances
        self._slicer = Slicer(contract)
        self._seen: set[str] = set()

    def take(
        self,
        inputs: Mapping[str, np.ndarray],
        live: Answers,
        other: Answers,
        failed: NDArray[np.bool_],
        keys: pl.Series,
        labels: pl.Series | None = None,
    ) -> None:
        """Count a chunk of paired rows: `failed` where the other version has no answer; `labels` are null where none has come."""
        if not len(failed):
            return
        self.unit = self.unit or unit_of(self._contract, live)
        differs, moved = compared(live, other, self.unit)
        gain = gained(live, other, None if labels is None else truth_of(self._contract, labels))
        gain = np.where(failed & ~np.isnan(gain), np.minimum(gain, 0.0), gain)
        slices = self._slicer.masks(inputs, live)
        pairs = Pairs(failed, differs | failed, np.where(failed, np.nan, moved), gain, slices)
        kept = self._first_of_each(keys)
        self.tally = counted(self.tally, pairs if kept is None else pairs.kept(kept), self._tolerances)

    def _first_of_each(self, keys: pl.Series) -> NDArray[np.bool_] | None:
        """The rows that count; none where all do."""
        if not (keys != "").any():
            return None
        kept = np.ones(len(keys), np.bool_)
        for row, key in enumerate(keys.to_list()):
            if key:
                kept[row] = key not in self._seen
                self._seen.add(key)
        return kept

    def verdict(self) -> PairedVerdict | None:
        """What has been shown; none before the first pair."""
        return judged(self.tally, self._tolerances) if self.tally.pairs else None


def struct_columns(frame: pl.DataFrame, name: str) -> dict[str, np.ndarray]:
    """The fields of a struct column as arrays [rows]: numbers with NaN, or texts with None."""
    import polars as pl

    fields = frame[name].struct.unnest()
    return {
        field.name: (field.to_numpy() if field.dtype == pl.String else field.cast(pl.Float64).fill_null(np.nan).to_numpy())
        for field in fields
    }


def labels_of(workspace: Workspace, model: str, rows: pl.LazyFrame | None) -> pl.DataFrame | None:
    """``writer, sequence, label`` of the `rows` whose label has come; none when none has."""
    labels = LabelStore(workspace.lake).frame(model)
    if labels is None or rows is None:
        return None
    found = with_labels(rows.select("request_id", "row", "received_at", "writer", "sequence").collect(), labels)
    return found.select("writer", "sequence", "label") if found.height else None
