"""What the labels that have come say of a rollout: read from the lake whenever there are new ones, and made anew as a whole.

A row counts with the label that was noted first: a rollout never bets twice on one row, so corrections change reports, not evidence.
The unit is a routing key, or a request where none was sent; it counts once, with the mean over its rows that were labelled first.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from prodml_magics.actions.labels import class_texts
from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.schema import Contract
from prodml_magics.errors import InvalidInput
from prodml_magics.rollouts.evidence import Evidence, means_of
from prodml_magics.rollouts.guards import (
    bound_of,
    class_of,
    is_class,
    is_metric,
    is_score,
    label_guard,
    lower_is_better,
    range_of,
)
from prodml_magics.rollouts.labels import control_clip, with_units
from prodml_magics.rollouts.means import Units
from prodml_magics.rollouts.metrics import metric_of
from prodml_magics.rollouts.money import LEAST, Clip, clip_of
from prodml_magics.storage.labels import METRIC, LabelStore, with_labels
from prodml_magics.wire.rollouts import Guard, RolloutState

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Labelled", "column_of", "earlier_values", "refuse_guards", "scored", "units_of"]

_AGAIN = 5.0
"""Seconds after which labels of rows that were not drained yet are looked up again."""


_EARLIER = 20_000
"""Rows before the rollout in which values of a metric are looked for."""
_IDENTITY = ("request_id", "row", "received_at", "writer", "sequence")


def refuse_guards(guards: tuple[Guard, ...], contract: Contract, what: str) -> None:
    """`InvalidInput` for a guard on labels or answers that a model does not give what it needs."""
    for guard in guards:
        if not label_guard(guard.metric) and not is_score(guard.metric) and not is_class(guard.metric):
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
        late = labels.filter(labels["noted_at"] >= state.began_at)
        self._waiting = False
        for guard in guards:
            column = column_of(guard.metric)
            found = with_labels(rows, labels, keep="first", column=column)
            self._waiting |= column in late.columns and found.height < late[column].count()
            if not found.is_empty():
                evidence = _with_mean(workspace, state, guard, evidence, found, labels)
        return evidence


def _rows(workspace: Workspace, state: RolloutState) -> pl.DataFrame:
    """The answered rows of the rollout, with what they answered."""
    import polars as pl

    # A worker's clock may lie behind the ledger's by a little; the number of the rollout decides.
    since = state.began_at - timedelta(hours=1)
    frame = workspace.lake.scan(state.model, arms=("live", "canary"), since=since)
    if frame is None or not {"rollout", "outputs"} <= set(frame.collect_schema().names()):
        return pl.DataFrame()
    return frame.filter(pl.col("rollout") == state.id).drop("inputs").sort("received_at", "writer", "sequence").collect()


def column_of(metric: str) -> str:
    """The column of the labels that a guard waits for."""
    return METRIC + metric_of(metric).column if is_metric(metric) else "label"


def _with_mean(
    workspace: Workspace, state: RolloutState, guard: Guard, evidence: Evidence, found: pl.DataFrame, labels: pl.DataFrame
) -> Evidence:
    """`evidence` with what the labelled rows `found` say of one guard."""
    plan = state.plan
    shares = tuple(step / 100 for step in plan.steps)
    units = units_of(scored(found, guard.metric, workspace.contract(state.model, plan.control)), shares)

    def clip() -> Clip | None:
        earlier = earlier_values(workspace, state, guard, labels)[column_of(guard.metric)].to_numpy()
        return clip_of(earlier) if len(earlier) >= LEAST else control_clip(guard, units)

    return with_units(plan, guard, evidence, units, clip)


def earlier_values(workspace: Workspace, state: RolloutState, guard: Guard, labels: pl.DataFrame) -> pl.DataFrame:
    """What came for a guard on answers of the live version before the rollout, with its ``noted_at``."""
    rows = workspace.lake.rows(
        state.model, arms=("live",), versions=(state.plan.control,), until=state.began_at, last=_EARLIER, columns=_IDENTITY
    )
    column = column_of(guard.metric)
    if rows.is_empty():
        return labels.select(column, "noted_at").clear()
    return with_labels(rows, labels, keep="first", column=column).select(column, "noted_at")


def scored(found: pl.DataFrame, metric: str, contract: Contract | None) -> pl.DataFrame:
    """Labelled rows with their ``value``, the higher the better: 1 for a right answer, minus the clipped log loss in nats, or the
    metric, cut to its range where it has one. The contract of a classifier is needed for the log loss alone."""
    import polars as pl

    if is_metric(metric):
        value, limits = pl.col(column_of(metric)), range_of(metric)
        value = value if limits is None else value.clip(*limits)
        return found.with_columns(value=-value if lower_is_better(metric) else value)
    outputs = pl.col("outputs").struct
    if metric == "accuracy":
        return found.with_columns(value=(outputs.field("label") == pl.col("label")).cast(pl.Float64))
    assert contract is not None
    most, texts = bound_of("log_loss"), class_texts(contract)
    given = pl.lit(0.0)
    for each in contract.classes:
        name = f"probability_{each}"
        given = pl.when(pl.col("label") == texts[str(each)]).then(outputs.field(name)).otherwise(given)
    return found.with_columns(value=pl.max_horizontal(given.fill_null(0.0), pl.lit(float(np.exp(-most)))).log())


def units_of(found: pl.DataFrame, shares: tuple[float, ...]) -> Units:
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
