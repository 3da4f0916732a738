"""Requests out of the rows of the lake, as rollouts count them: the first row of a request stands for it, and a run for its rows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from prodml_magics.actions.workspace import Workspace
from prodml_magics.rollouts.baking import Before
from prodml_magics.rollouts.evidence import Evidence, begin, rates_of, scores_of
from prodml_magics.rollouts.fold import Requests, failures_of
from prodml_magics.rollouts.guards import class_of, is_class, is_rate, is_score
from prodml_magics.wire.rollouts import RolloutPlan, RolloutState

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "ARMS",
    "ASKED",
    "COLUMNS",
    "asks_answers",
    "fresh_evidence",
    "live_of",
    "requests_among",
    "requests_of",
    "score_of",
    "with_answers",
]

ARMS = ("live", "canary", "fallback")
_REJECTED = "rejected"
ASKED = (*ARMS, _REJECTED)
"""With what was asked of a version and broke its contract."""
COLUMNS = (
    "writer", "sequence", "row", "arm", "version", "status", "latency_ms", "run_ms", "key", "rollout", "share", "received_at",
)  # fmt: skip
_EARLIER = (timedelta(hours=1), timedelta(days=1), timedelta(days=7))
_EARLIER_ROWS = 20_000


def fresh_evidence(workspace: Workspace, state: RolloutState) -> Evidence:
    """No evidence yet, with thresholds from the live version's traffic before the rollout."""
    frame = _earlier(workspace, state)
    if frame.is_empty():
        return begin(state.plan, state.id)
    ordered = frame.sort("writer", "sequence")
    runs, _ = _runs(ordered["run_ms"].to_numpy(), np.zeros(ordered.height, bool))
    requests = ordered.filter(ordered["row"] == 0)
    failed = requests["status"].to_numpy() >= 500
    return begin(
        state.plan,
        state.id,
        latencies=ordered["run_ms"].to_numpy()[runs],
        error_rate=float(failed.mean()),
        before=_before(state, requests),
    )


def _earlier(workspace: Workspace, state: RolloutState) -> pl.DataFrame:
    """The latest rows of the control before the rollout; no further back than it takes to have enough of them."""
    for back in _EARLIER:
        frame = workspace.lake.rows(
            state.model,
            arms=("live",),
            versions=(state.plan.control,),
            statuses=None,
            since=state.began_at - back,
            until=state.began_at,
            last=_EARLIER_ROWS,
            columns=("writer", "sequence", "row", "run_ms", "status", "key"),
        )
        if frame.height == _EARLIER_ROWS:
            break
    return frame


def _before(state: RolloutState, requests: pl.DataFrame) -> Before:
    """What the control had answered: the first request of each key, and all that bore none."""
    units = requests.filter((requests["key"] == "") | requests["key"].is_first_distinct())
    status = units["status"].to_numpy()
    nobody = np.zeros(len(status), bool)  # these are the control's own answers
    rates = [guard.metric for guard in rates_of(state.plan) if is_rate(guard.metric)]
    failed = {metric: int(failures_of(metric, status, nobody).sum()) for metric in rates}
    return Before(units.height, failed)


def requests_of(state: RolloutState, table: pa.Table, score: str = "") -> Requests:
    """The randomised requests of this rollout among rows of one writer: the first row of each stands for it.

    Where another version stood in for the canary they are still the canary's. `score` names the output whose mean is guarded.
    """
    mine = pc.and_(pc.equal(table["rollout"], state.id), pc.is_in(table["arm"], pa.array(ASKED)))
    rows = table.filter(pc.fill_null(mine, False)).sort_by("sequence")
    return with_answers(state, requests_among(state, rows), rows, score)


def asks_answers(plan: RolloutPlan) -> bool:
    """Whether a guard looks at what was answered."""
    return any(is_class(guard.metric) or is_score(guard.metric) for guard in plan.guards)


def score_of(workspace: Workspace, state: RolloutState) -> str:
    """The output whose mean is guarded: the probability of the last class; empty where none is."""
    if not scores_of(state.plan):
        return ""
    classes = workspace.contract(state.model, state.plan.control).classes
    return f"probability_{classes[-1]}"


def with_answers(state: RolloutState, found: Requests, rows: pa.Table, score: str) -> Requests:
    """`found` with what was answered, where a guard asks for it; what another version said in place of one is none of its answers."""
    classes = [guard.metric for guard in state.plan.guards if is_class(guard.metric)]
    if not classes and not score:
        return found
    first = rows["row"].to_numpy() == 0
    own = pc.not_equal(rows["arm"], "fallback").to_numpy()
    label = _output(rows, "label")
    said = {metric: (own & pc.fill_null(pc.equal(label, class_of(metric)), False).to_numpy())[first] for metric in classes}
    if not score:
        return found._replace(said=said)
    value = np.where(own, pc.cast(_output(rows, score), pa.float64()).to_numpy(zero_copy_only=False), np.nan)
    starts = np.flatnonzero(first)
    sums = np.add.reduceat(value, starts) if len(starts) else np.zeros(0)
    return found._replace(said=said, score=sums / np.diff(np.append(starts, len(value))))


def _output(rows: pa.Table, name: str) -> pa.ChunkedArray:
    """A field of what was answered; null where there was no answer."""
    kind = rows.schema.field("outputs").type if "outputs" in rows.schema.names else None
    if kind is None or not pa.types.is_struct(kind) or kind.get_field_index(name) < 0:
        return pa.chunked_array([pa.nulls(rows.num_rows, pa.string() if name == "label" else pa.float64())])
    return pc.struct_field(rows["outputs"], name)


def live_of(state: RolloutState, table: pa.Table) -> tuple[Requests, NDArray[np.int64]]:
    """Requests that the candidate answered as the live version since the rollout began, and in which second each came."""
    alone = pc.and_(pc.equal(table["arm"], "live"), pc.equal(table["version"], state.plan.candidate))
    if state.plan.at_once:  # else it may be the control for which another one stood in
        alone = pc.or_(alone, pc.equal(table["arm"], "fallback"))
    since = pc.greater_equal(table["received_at"], pa.scalar(state.began_at, table.schema.field("received_at").type))
    rows = table.filter(pc.fill_null(pc.and_(alone, since), False)).sort_by("sequence")
    second = rows["received_at"].cast(pa.timestamp("s", "UTC"), safe=False).to_numpy().astype(np.int64)
    return requests_among(state, rows), second[rows["row"].to_numpy() == 0]


def requests_among(state: RolloutState, rows: pa.Table) -> Requests:
    """Every request among rows of one writer, in the order of their sequence."""
    fallback, run_ms = pc.equal(rows["arm"], "fallback").to_numpy(), rows["run_ms"].to_numpy()
    rejected = pc.equal(rows["arm"], _REJECTED).to_numpy()
    canary = pc.equal(rows["arm"], "canary").to_numpy() | fallback
    canary |= rejected & (rows["version"].to_numpy() == state.plan.candidate)
    starts, sizes = _runs(run_ms, canary)
    run_rows = np.zeros(len(canary), np.int64)
    run_rows[starts] = sizes
    run_rows[fallback | rejected] = 0  # a run of another version says nothing of this one's, and what was rejected had none
    status = rows["status"].to_numpy()
    took = np.where(status == 504, rows["latency_ms"].to_numpy(), run_ms)
    first = rows["row"].to_numpy() == 0
    shares = np.array([step / 100 for step in state.plan.steps])
    step = np.abs(rows["share"].to_numpy()[first][:, None] - shares).argmin(axis=1) if len(canary) else np.zeros(0, np.int64)
    keys = rows["key"].filter(pa.array(first)).to_pylist()
    return Requests(canary[first], step, status[first], took[first], run_rows[first], keys, fallback[first])


def _runs(run_ms: NDArray[np.float64], canary: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each run of the model begins, and how many rows it has: its rows lie together and share its time to the nanosecond."""
    if not len(run_ms):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    changed = (np.diff(run_ms) != 0) | (np.diff(canary.astype(np.int8)) != 0)
    starts = np.concatenate([[0], np.flatnonzero(changed) + 1])
    return starts, np.diff(np.append(starts, len(run_ms)))
