"""What the lake holds of a past rollout: its requests, what was answered, what came of labels, and what is known of none of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.actions.answered import ASKED, COLUMNS, asks_answers, requests_among, score_of, with_answers
from prodml_magics.actions.labelled import column_of, earlier_values, refuse_guards, scored
from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.schema import Contract
from prodml_magics.errors import ProdmlError
from prodml_magics.rollouts.evidence import means_of
from prodml_magics.rollouts.fold import Requests
from prodml_magics.rollouts.guards import is_class, is_metric, is_score, label_guard, needs_control, range_of
from prodml_magics.rollouts.late import Late
from prodml_magics.rollouts.money import LEAST
from prodml_magics.rollouts.recorded import Recorded
from prodml_magics.storage.labels import LabelStore, with_labels
from prodml_magics.wire.rollouts import Guard, RolloutState

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Record", "read_record"]

_READ = (*COLUMNS, "request_id", "outputs")


class Record(NamedTuple):
    """What was read, and of which guards nothing is known."""

    recorded: Recorded
    unknown: tuple[str, ...]
    """A line for each such guard; it stays undecided, as it would have."""


def read_record(workspace: Workspace, state: RolloutState, *, since: datetime, until: datetime) -> Record | None:
    """The requests received in [since, until] for the guards of `state`; none when one of its versions answered none of them."""
    frame = _rows(workspace, state, since, until)
    if frame.is_empty() or "rollout" not in frame.columns:
        return None
    contract, gone = _contract(workspace, state)
    score = score_of(workspace, state) if contract is not None else ""
    parts = [_part(state, rows, score) for _, rows in frame.group_by("writer", maintain_order=True)]
    firsts = _joined(part.firsts for part in parts)
    order = np.argsort(firsts["received_at"].to_numpy(), kind="stable")
    firsts = firsts[order]
    recorded = _recorded(state, firsts, _in_order([part.answers for part in parts], order))
    if recorded.candidate.all() or not recorded.candidate.any():
        return None
    recorded = recorded._replace(late=_late(workspace, state, frame, firsts, contract, until))
    lines = [_unknown(guard, state, recorded, contract, gone) for guard in state.plan.guards]
    return Record(recorded, tuple(filter(None, lines)))


def _rows(workspace: Workspace, state: RolloutState, since: datetime, until: datetime) -> pl.DataFrame:
    """Of both versions; what was rejected is recorded in rollouts alone, of which only this one counts."""
    import polars as pl

    asked = asks_answers(state.plan) or any(label_guard(guard.metric) for guard in state.plan.guards)
    frame = workspace.lake.rows(
        state.model,
        arms=ASKED,
        versions=(state.plan.control, state.plan.candidate),
        statuses=None,
        since=since,
        until=until,
        columns=_READ if asked else _READ[:-1],
    )
    if frame.is_empty() or "rollout" not in frame.columns:
        return frame
    mine = (pl.col("rollout") == state.id).fill_null(False)
    frame = frame.filter((pl.col("arm") != "rejected") | mine)
    if any(guard.metric == "rejected" for guard in state.plan.guards):
        last = frame.filter(mine)["received_at"].max()
        frame = frame.filter(pl.col("received_at") <= last) if last is not None else frame
    return frame


def _contract(workspace: Workspace, state: RolloutState) -> tuple[Contract | None, str]:
    """Of the live version, or why it cannot be had."""
    try:
        return workspace.contract(state.model, state.plan.control), ""
    except ProdmlError as error:
        return None, str(error).partition(";")[0]


class _Part(NamedTuple):
    """Of one writer."""

    firsts: pl.DataFrame
    """The first row of each request."""
    answers: Requests


def _part(state: RolloutState, rows: pl.DataFrame, score: str) -> _Part:
    ordered = rows.sort("sequence")
    table = ordered.to_arrow()
    return _Part(ordered.filter(ordered["row"] == 0), with_answers(state, requests_among(state, table), table, score))


def _joined(frames: Iterator[pl.DataFrame]) -> pl.DataFrame:
    import polars as pl

    return pl.concat(list(frames))


def _recorded(state: RolloutState, firsts: pl.DataFrame, answers: Requests) -> Recorded:
    mine = (firsts["rollout"] == state.id).fill_null(False)
    stood_in = (firsts["arm"] == "fallback") & mine  # for the canary: it was given these
    second = (firsts["received_at"] - state.began_at).dt.total_microseconds().to_numpy() / 1e6
    candidate = ((firsts["version"] == state.plan.candidate) | stood_in).fill_null(False).to_numpy()
    return Recorded(second, candidate, np.where(mine.to_numpy(), firsts["share"].to_numpy(), 0.0), answers)


def _in_order(parts: Sequence[Requests], order: NDArray[np.int64]) -> Requests:
    """All parts one behind the other, then in `order`."""
    keys = [key for each in parts for key in each.key]
    scores = [each.score for each in parts if each.score is not None]
    return Requests(
        canary=np.concatenate([each.canary for each in parts])[order],
        step=np.concatenate([each.step for each in parts])[order],
        status=np.concatenate([each.status for each in parts])[order],
        run_ms=np.concatenate([each.run_ms for each in parts])[order],
        run_rows=np.concatenate([each.run_rows for each in parts])[order],
        key=[keys[index] for index in order.tolist()],
        fallback=np.concatenate([each.fallback for each in parts if each.fallback is not None])[order],
        said={metric: np.concatenate([each.said[metric] for each in parts])[order] for metric in parts[0].said},
        score=np.concatenate(scores)[order] if scores else None,
    )


def _late(
    workspace: Workspace,
    state: RolloutState,
    frame: pl.DataFrame,
    firsts: pl.DataFrame,
    contract: Contract | None,
    until: datetime,
) -> dict[str, Late]:
    """What came of labels about the answers of both versions, by guard; without those of which nothing came."""
    guards = means_of(state.plan)
    labels = LabelStore(workspace.lake).frame(state.model) if guards else None
    if labels is None:
        return {}
    labels = labels.filter(labels["noted_at"] < until)
    own = frame.filter(frame["arm"].is_in(("live", "canary")) & (frame["status"] == 200))
    found = {}
    for guard in guards:
        if label_guard(guard.metric) and contract is None:
            continue
        come = with_labels(own, labels, keep="first", column=column_of(guard.metric))
        if not come.is_empty():
            found[guard.metric] = _of_requests(workspace, state, guard, scored(come, guard.metric, contract), firsts, labels)
    return found


def _of_requests(
    workspace: Workspace, state: RolloutState, guard: Guard, come: pl.DataFrame, firsts: pl.DataFrame, labels: pl.DataFrame
) -> Late:
    import polars as pl

    of_request = come.with_columns(first=pl.col("sequence") - pl.col("row").cast(pl.Int64))
    earliest = of_request.filter(pl.col("noted_at") == pl.col("noted_at").min().over("writer", "first"))
    means = earliest.group_by("writer", "first").agg(pl.col("value").mean(), pl.col("noted_at").first(), rows=pl.len())
    names = firsts.select("writer", pl.col("sequence").alias("first"), "received_at")
    each = names.join(means, on=["writer", "first"], how="left", maintain_order="left")
    delay = (each["noted_at"] - each["received_at"]).dt.total_microseconds().cast(pl.Float64).to_numpy() / 1e6
    value, rows = (each[name].cast(pl.Float64).fill_null(fill).to_numpy() for name, fill in (("value", np.nan), ("rows", 0.0)))
    late = Late(value, delay, rows)
    if range_of(guard.metric) is not None:
        return late
    before = earlier_values(workspace, state, guard, labels)
    noted = (before["noted_at"] - state.began_at).dt.total_microseconds().to_numpy() / 1e6
    return late._replace(before=(before[column_of(guard.metric)].to_numpy(), noted))


def _unknown(guard: Guard, state: RolloutState, recorded: Recorded, contract: Contract | None, gone: str) -> str:
    """Why the past says nothing of a guard; empty where it does."""
    metric, plan = guard.metric, state.plan
    if plan.at_once and needs_control(metric):
        return f"{metric} needs a version beside the candidate, and all at once leaves none; give --canary 5,25,50,100"
    if metric == "rejected":
        both = recorded.candidate[recorded.share > 0]
        if not both.any() or both.all():
            return "rejected is recorded only while a canary runs, and this rollout was none; leave it out"
        return ""
    if is_score(metric) or is_class(metric) or label_guard(metric):
        if contract is None:
            return f"{metric} cannot be read from what was answered: {gone}; leave it out"
        try:
            refuse_guards((guard,), contract, f"{state.model}@{plan.control}")
        except ProdmlError as error:
            return str(error)
    if is_score(metric):
        score = recorded.answers.score
        return (
            ""
            if score is not None and _of_both(np.isfinite(score), recorded)
            else f"{metric}: the lake holds no probabilities of both versions; leave it out"
        )
    if is_class(metric):
        said = recorded.answers.said[metric]
        return "" if said.any() else f"{metric}: neither version said so in what the lake holds, so that it cannot be decided"
    return _unlabelled(metric, state, recorded) if metric in {each.metric for each in means_of(plan)} else ""


def _unlabelled(metric: str, state: RolloutState, recorded: Recorded) -> str:
    late, what = (
        recorded.late.get(metric),
        f"values of {column_of(metric).removeprefix('metric_')}" if is_metric(metric) else "labels",
    )
    if late is None or not _of_both(np.isfinite(late.delay), recorded):
        return f"{metric}: no {what} for answers of both versions came; give them with %labels {state.model} FRAME"
    if range_of(metric) is None and max(len(late.before[0]), int(np.isfinite(late.delay[~recorded.candidate]).sum())) < LEAST:
        return f"{metric}: fewer than {LEAST} {what} came for the live version, too few to clip by; give its range, metric:NAME:LOW..HIGH"
    return ""


def _of_both(known: NDArray[np.bool_], recorded: Recorded) -> bool:
    """Whether something is known of both versions."""
    return len(known) > 0 and bool((known & recorded.candidate).any() and (known & ~recorded.candidate).any())
