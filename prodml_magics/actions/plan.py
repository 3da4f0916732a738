"""%plan: what a ladder can see, and how long that takes, before anything is risked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from prodml_magics.actions.labelled import column_of, refuse_guards, scored
from prodml_magics.actions.results import PlanResult
from prodml_magics.actions.sampled import requests_behind
from prodml_magics.actions.windows import parse_duration
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import GateRefused, NotFound
from prodml_magics.rollouts.guards import (
    class_of,
    is_class,
    is_mean,
    is_metric,
    is_score,
    label_guard,
    lower_is_better,
    margin_text,
    read_guards,
)
from prodml_magics.rollouts.metrics import same_column
from prodml_magics.rollouts.plan import read_steps
from prodml_magics.rollouts.planner import Traffic, rows_until_harm, rows_until_no_worse, seen_in_step, sighted
from prodml_magics.rollouts.simulate import simulated_rows
from prodml_magics.stats.sequential.exceedances import freeze
from prodml_magics.stats.sequential.memory import memory_of
from prodml_magics.storage.labels import LabelStore, with_labels
from prodml_magics.wire.names import check_name
from prodml_magics.wire.requests import Plan
from prodml_magics.wire.results import PlanRecord, PlanStep
from prodml_magics.wire.rollouts import Guard, RolloutPlan

if TYPE_CHECKING:
    import polars as pl

__all__ = ["plan"]

_LEAST = 100
_ASKS_NO_WORSE = 0.25


def plan(workspace: Workspace, request: Plan) -> PlanResult:
    """Requests and hours per step and guard from the live traffic of the window; ``strict`` refuses a blind ladder."""
    name = check_name(request.model)
    live = workspace.live(name)
    steps = [step for step in read_steps(request.canary) if step < 100]
    guards = read_guards(request.guard, request.margin)
    effects = _effects(guards, request.effect)
    refuse_guards(guards, workspace.contract(name, live), f"{name}@{live}")
    traffic = _traffic(workspace, name, live, request.window)
    traffic = _answered(workspace, name, live, request.window, guards, traffic)
    traffic = _labelled(workspace, name, live, request.window, guards, traffic)
    pairs = list(zip(guards, effects, strict=True))
    rows = tuple(_step(request, *pair, traffic, step / 100, len(guards)) for step in steps for pair in pairs)
    if request.simulate is not None:
        effects = effects * len(steps)
        rows = tuple(_simulated(request, guards, *each, traffic) for each in zip(rows, effects, strict=True))
    record = PlanRecord(
        model=name,
        version=live,
        requests=traffic.requests,
        requests_per_hour=traffic.per_hour,
        error_rate=traffic.failed / traffic.requests,
        power=request.power,
        steps=rows,
        simulated=request.simulate or 0,
        warnings=(*_warnings(rows), *_unlabelled(guards, traffic, request.window)),
        proposal=_proposal(request, name, rows, traffic),
    )
    if request.strict and (blind := _warnings(rows)):
        advice = f"try {record.proposal}" if record.proposal else "wait for more traffic, or allow a larger effect"
        raise GateRefused(f"{blind[0]}; {advice}")
    return PlanResult(record)


def _effects(guards: tuple[Guard, ...], text: str) -> list[Guard]:
    """What has to be seen of each guard: what was named, else its margin; twice that where harm begins beyond the margin."""
    named = [entry.partition("=")[0].strip() for entry in text.split(",")]
    read = {each.metric: each for each in read_guards(",".join(guard.metric for guard in guards), text)}
    return [read[guard.metric] if _named(guard.metric, named) else _usual(guard) for guard in guards]


def _named(metric: str, named: list[str]) -> bool:
    return any(name == metric or (is_metric(metric) and is_metric(name) and same_column(name, metric)) for name in named)


def _usual(guard: Guard) -> Guard:
    two_sided = is_score(guard.metric) or is_class(guard.metric)
    return replace(guard, margin=2 * guard.margin) if two_sided else guard


def _traffic(workspace: Workspace, name: str, live: int, window: str) -> Traffic:
    now = workspace.clock.now()
    since = now - parse_duration(window)
    columns = ("row", "status", "run_ms", "received_at", "log_share", "writer", "sequence")
    frame = workspace.lake.rows(name, arms=("live",), versions=(live,), statuses=None, since=since, until=now, columns=columns)
    first = frame.filter(frame["row"] == 0) if not frame.is_empty() else frame
    if first.height < _LEAST:
        raise NotFound(
            f"{name}@{live} has answered {first.height} requests in the last {window}, too few to plan with; "
            f"wait for {_LEAST}, or look further back with --window 7d"
        )
    began, ended = first["received_at"][0], first["received_at"][-1]
    status, stands_for = first["status"].to_numpy(), requests_behind(first)
    return Traffic(
        requests=round(stands_for.sum()),
        hours=max((ended - began).total_seconds(), 1.0) / 3600,
        failed=round(stands_for[status >= 500].sum()),
        timed_out=round(stands_for[status == 504].sum()),
        run_ms=first["run_ms"].to_numpy().astype(np.float64),
        memory=_memory(frame),
    )


def _memory(rows: pl.DataFrame) -> float:
    """Of the runs of the model, one worker's behind the other's; where not all are logged none is told."""
    if (requests_behind(rows) != 1).any():
        return 1.0
    took = rows.sort("writer", "sequence")["run_ms"].to_numpy().astype(np.float64)
    of_runs = took[np.diff(took, prepend=np.nan) != 0]
    return memory_of(np.minimum(of_runs, freeze(of_runs)[-1]))


def _answered(workspace: Workspace, name: str, live: int, window: str, guards: tuple[Guard, ...], traffic: Traffic) -> Traffic:
    """`traffic` with what the answers of the window say, and with what was rejected, where a guard asks for it."""
    now = workspace.clock.now()
    since = now - parse_duration(window)
    rejected = 0.0
    if any(guard.metric == "rejected" for guard in guards):
        columns = ("arm", "row", "rollout")
        rows = workspace.lake.rows(
            name, arms=("live", "rejected"), versions=(live,), statuses=None, since=since, until=now, columns=columns
        )
        asked = rows.filter((rows["rollout"] > 0) & (rows["row"] == 0))
        rejected = float((asked["arm"] == "rejected").mean() or 0.0) if asked.height else 0.0  # type: ignore[arg-type]
    metrics = [guard.metric for guard in guards if is_class(guard.metric) or is_score(guard.metric)]
    if not metrics:
        return traffic._replace(rejected=rejected)
    rows = workspace.lake.rows(name, arms=("live",), versions=(live,), since=since, until=now, columns=("row", "outputs"))
    if rows.is_empty():
        raise NotFound(f"{name}@{live} has answered nothing in the last {window}; look further back with --window 7d")
    outputs = rows["outputs"].struct
    starts = np.flatnonzero(rows["row"].to_numpy() == 0)
    said, values = {}, {}
    for metric in metrics:
        if is_class(metric):
            says = (outputs.field("label") == class_of(metric)).to_numpy()[starts]
            said[metric] = round(float(says.mean()) * traffic.requests)
        else:
            classes = workspace.contract(name, live).classes
            score = outputs.field(f"probability_{classes[-1]}").to_numpy().astype(np.float64)
            values[metric] = np.add.reduceat(score, starts) / np.diff(np.append(starts, len(score)))
    return traffic._replace(rejected=rejected, said=said, values=values)


def _labelled(workspace: Workspace, name: str, live: int, window: str, guards: tuple[Guard, ...], traffic: Traffic) -> Traffic:
    """`traffic` with what the labels and metrics of the window say, where a guard waits for them."""
    waiting = [guard.metric for guard in guards if is_mean(guard.metric)]
    if not waiting:
        return traffic
    now = workspace.clock.now()
    rows = workspace.lake.rows(name, arms=("live",), versions=(live,), since=now - parse_duration(window), until=now)
    labels, contract = LabelStore(workspace.lake).frame(name), workspace.contract(name, live)
    values, delays, labelled = dict(traffic.values), {}, {}
    for metric in waiting:
        found = with_labels(rows, labels, keep="first", column=column_of(metric))
        if found.is_empty():
            continue
        units = _of_requests(scored(found, metric, contract))
        labelled[metric] = min(1.0, units.height / traffic.requests)
        value = units["value"].to_numpy()
        values[metric] = -value if lower_is_better(metric) else value
        delays[metric] = units["delay"].dt.total_microseconds().to_numpy() / 1e6
    return traffic._replace(labelled=labelled, delays=delays, values=values)


def _of_requests(found: pl.DataFrame) -> pl.DataFrame:
    """The mean ``value`` of each request, and the ``delay`` of its first label."""
    import polars as pl

    of_request = ("writer", pl.col("sequence") - pl.col("row").cast(pl.Int64))
    delay = pl.col("noted_at").min() - pl.col("received_at").min()
    return found.group_by(of_request).agg(pl.col("value").mean(), delay=delay)


def _unlabelled(guards: tuple[Guard, ...], traffic: Traffic, window: str) -> tuple[str, ...]:
    absent = [guard.metric for guard in guards if is_mean(guard.metric) and guard.metric not in traffic.labelled]
    labels, metrics = ([each for each in absent if label_guard(each) is wanted] for wanted in (True, False))
    said = []
    if labels:
        said.append(
            f"no label in the last {window}: {' and '.join(labels)} planned with the largest variance, every request labelled"
        )
    if metrics:
        said.append(
            f"nothing came for {' and '.join(metrics)} in the last {window}, so that it cannot be planned; give it with %labels"
        )
    if any(guard.metric == "rejected" for guard in guards) and not traffic.rejected:
        said.append("nothing was rejected in a rollout of this window: rejected planned as rare")
    return tuple(said)


def _step(request: Plan, guard: Guard, effect: Guard, traffic: Traffic, share: float, guards: int) -> PlanStep:
    harm = rows_until_harm(guard, effect, traffic, share, alpha=request.alpha, guards=guards, power=request.power)
    good = rows_until_no_worse(guard, traffic, share, alpha=request.alpha, power=request.power)
    bake = parse_duration(request.bake).total_seconds()
    seen = seen_in_step(share, traffic.per_hour, min_rows=request.min_rows, bake=bake)
    return PlanStep(
        percent=share * 100,
        guard=guard.metric,
        effect=margin_text(effect),
        rows_until_harm=round(harm) if math.isfinite(harm) else None,
        hours_until_harm=harm / traffic.per_hour if math.isfinite(harm) else None,
        rows_until_no_worse=round(good) if share >= _ASKS_NO_WORSE and math.isfinite(good) else None,
        hours_until_no_worse=good / traffic.per_hour if share >= _ASKS_NO_WORSE and math.isfinite(good) else None,
        rows_seen=round(seen),
        # From 25 % on a step is left only when the guard has spoken, so that it cannot be left blind.
        sees=share >= _ASKS_NO_WORSE or harm <= seen,
    )


def _simulated(request: Plan, guards: tuple[Guard, ...], row: PlanStep, effect: Guard, traffic: Traffic) -> PlanStep:
    """`row` with what the decision itself takes; a metric for which nothing came decides nothing."""
    counted = tuple(guard for guard in guards if not is_mean(guard.metric) or len(traffic.known(guard.metric)))
    if row.rows_until_harm is None:
        return row
    ladder = RolloutPlan(control=0, candidate=0, steps=(row.percent, 100.0), guards=counted, alpha=request.alpha)
    assert request.simulate is not None
    found = simulated_rows(ladder, effect, traffic, expected=row.rows_until_harm, runs=request.simulate, power=request.power)
    sees = row.percent >= 100 * _ASKS_NO_WORSE or found <= row.rows_seen
    return replace(row, simulated_rows=round(found) if math.isfinite(found) else None, sees=sees)


def _warnings(rows: tuple[PlanStep, ...]) -> tuple[str, ...]:
    blind = [row for row in rows if not row.sees]
    return tuple(
        f"at {row.percent:g} % a step is left after {row.rows_seen:,} requests, but {row.guard} worse by {row.effect} takes "
        + (f"{row.rows_until_harm:,} to see" if row.rows_until_harm is not None else "for ever to see")
        for row in blind
    )


def _proposal(request: Plan, name: str, rows: tuple[PlanStep, ...], traffic: Traffic) -> str:
    """A ladder of the asked steps that can see the effect within the deadline, and how many requests each then needs."""
    shares = sorted({row.percent for row in rows})
    needed = [max(_or_inf(row.rows_until_harm) for row in rows if row.percent == share) for share in shares]
    seeing = sighted(shares, needed, traffic.per_hour, deadline=parse_duration(request.deadline).total_seconds())
    if not seeing:
        return ""
    least = max(
        needed[shares.index(share)] * share / 100 for share in seeing if share < 100 * _ASKS_NO_WORSE or share == seeing[0]
    )
    steps = ",".join(f"{share:g}" for share in [*seeing, 100])
    return f"%deploy {name}@VERSION --canary {steps} --min-rows {math.ceil(least)}"


def _or_inf(value: int | None) -> float:
    return math.inf if value is None else float(value)
