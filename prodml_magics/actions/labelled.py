"""What the labels that have come say of a rollout: read from the lake whenever there are new ones, and made anew as a whole.

A row counts with the label that was noted first: a rollout never bets twice on one row, so corrections change reports, not evidence.
The unit is a routing key, or a request where none was sent; it counts once, with the mean over its rows that were labelled first.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from prodml_magics.actions.labels import class_texts
from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.schema import Contract
from prodml_magics.errors import InvalidInput
from prodml_magics.rollouts.evidence import Evidence, means_of
from prodml_magics.rollouts.guards import BOUNDS, class_of, is_class, is_score
from prodml_magics.rollouts.means import MeanTally, Units, tally_of
from prodml_magics.storage.labels import LabelStore, with_labels
from prodml_magics.wire.rollouts import Guard, RolloutPlan, RolloutState

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Labelled", "refuse_guards", "scored"]

_AGAIN = 5.0
"""Seconds after which labels of rows that were not drained yet are looked up again."""


def refuse_guards(guards: tuple[Guard, ...], contract: Contract, what: str) -> None:
    """`InvalidInput` for a guard on labels or answers that a model does not give what it needs."""
    for guard in guards:
        if guard.metric not in BOUNDS and not is_score(guard.metric) and not is_class(guard.metric):
            continue
        outputs = [tensor.name for tensor in contract.outputs]
        if contract.task != "classification" or "label" not in outputs or not contract.classes:
            raise InvalidInput(f"{guard.metric} needs a classifier, and {what} is none; guard it by error_rate,latency_p99")
        if (guard.metric == "log_loss" or is_score(guard.metric)) and "probabilities" not in outputs:
            raise InvalidInput(f"{guard.metric} needs probabilities, and {what} answers labels alone; guard it by accuracy")
        texts = tuple(dict.fromkeys(class_texts(contract).values()))
        if is_class(guard.metric) and class_of(guard.metric) not in texts:
            raise InvalidInput(
                f"{ascii(class_of(guard.metric))[:40]} is no class of {what}; its classes are {', '.join(texts)[:200]}"
            )


class Labelled:
    """The label evidence of one rollout as this process has it."""

    def __init__(self) -> None:
        self._version = -2
        self._looked = 0.0
        self._waiting = False

    def with_labels(self, workspace: Workspace, state: RolloutState, evidence: Evidence) -> Evidence:
        """`evidence` with what the labels say; the same object when none have come since."""
        guards = means_of(state.plan)
        if not guards:
            return evidence
        store, now = LabelStore(workspace.lake), workspace.clock.monotonic()
        version = store.version(state.model)
        overdue = self._waiting and now - self._looked >= _AGAIN
        if version == self._version and not overdue:
            return evidence
        self._version, self._looked = version, now
        labels = store.frame(state.model)
        rows = _rows(workspace, state)
        if labels is None or rows.is_empty():
            self._waiting = labels is not None
            return evidence
        found = with_labels(rows, labels, keep="first")
        late = labels.filter(labels["noted_at"] >= state.began_at)
        self._waiting = found.height < late.height
        if found.is_empty():
            return evidence
        contract = workspace.contract(state.model, state.plan.control)
        return replace(evidence, means=_means(state.plan, guards, found, contract, evidence))


def _rows(workspace: Workspace, state: RolloutState) -> pl.DataFrame:
    """The answered rows of the rollout, with what they answered."""
    import polars as pl

    # A worker's clock may lie behind the ledger's by a little; the number of the rollout decides.
    since = state.began_at - timedelta(hours=1)
    frame = workspace.lake.rows(state.model, arms=("live", "canary"), since=since)
    if frame.is_empty() or not {"rollout", "outputs"} <= set(frame.columns):
        return pl.DataFrame()
    return frame.filter(pl.col("rollout") == state.id).drop("inputs")


def _means(
    plan: RolloutPlan, guards: tuple[Guard, ...], found: pl.DataFrame, contract: Contract, before: Evidence
) -> dict[str, MeanTally]:
    shares = tuple(step / 100 for step in plan.steps)
    tallies: dict[str, MeanTally] = {}
    for guard in guards:
        units = _units(scored(found, guard.metric, contract), shares)
        tally = tally_of(units, shares, guard.margin, BOUNDS[guard.metric], plan.alpha)
        known = before.means.get(guard.metric)
        tallies[guard.metric] = replace(tally, mismatch=True) if known is not None and known.mismatch else tally
    return tallies


def scored(found: pl.DataFrame, metric: str, contract: Contract) -> pl.DataFrame:
    """Labelled rows with their ``value``, the higher the better: 1 for a right answer, or minus the clipped log loss in nats."""
    import polars as pl

    outputs = pl.col("outputs").struct
    if metric == "accuracy":
        return found.with_columns(value=(outputs.field("label") == pl.col("label")).cast(pl.Float64))
    most, texts = BOUNDS["log_loss"], class_texts(contract)
    given = pl.lit(0.0)
    for each in contract.classes:
        name = f"probability_{each}"
        given = pl.when(pl.col("label") == texts[str(each)]).then(outputs.field(name)).otherwise(given)
    return found.with_columns(value=pl.max_horizontal(given.fill_null(0.0), pl.lit(float(np.exp(-most)))).log())


def _units(found: pl.DataFrame, shares: tuple[float, ...]) -> Units:
    """Units in the order in which their labels were noted."""
    import polars as pl

    key = pl.when(pl.col("key") != "").then(pl.concat_str(pl.lit("k"), "key"))
    request = pl.concat_str("writer", pl.lit("/"), pl.col("sequence") - pl.col("row"))
    ordered = found.with_columns(unit=key.otherwise(request)).sort("noted_at", "received_at", "writer", "sequence")
    first = pl.struct("noted_at", "arm", "share")
    of_unit = ordered.filter(first == first.first().over("unit"))
    each = of_unit.group_by("unit", maintain_order=True).agg(
        pl.col("arm").first(), pl.col("share").first(), pl.col("value").mean()
    )
    step = np.abs(each["share"].to_numpy()[:, None] - np.array(shares)).argmin(axis=1)
    return Units((each["arm"] == "canary").to_numpy(), step, each["value"].to_numpy())
