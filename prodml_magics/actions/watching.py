"""%drift --sequential: alarms about what a model is served, hour by hour, for as long as one likes to watch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from prodml_magics.actions.buckets import VersionGrid, bucket_store, read_grid
from prodml_magics.actions.formats import moment
from prodml_magics.actions.kept import Asked, kept_rows
from prodml_magics.actions.results import WatchResult
from prodml_magics.actions.services import Services
from prodml_magics.actions.windows import parse_stretch
from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.nearest import did_you_mean
from prodml_magics.errors import InvalidInput, NotFound, UsageError
from prodml_magics.storage.buckets import DAY, HOUR
from prodml_magics.wire.requests import Drift
from prodml_magics.wire.results import AlarmRecord, DriftRecord, WatchRecord, Window

if TYPE_CHECKING:
    from prodml_magics.stats.drift.hourly import Hour
    from prodml_magics.stats.drift.watch import Alarm, Watched

__all__ = ["watch_model"]

_LEAST_DAYS = 28


def watch_model(workspace: Workspace, request: Drift, asked: Asked, version: int) -> WatchResult:
    """Run over every hour that was served, in the same way each time: what was an alarm yesterday is one today.

    ``--window``, ``--since`` and ``--until`` say which alarms count for the verdict; the watch itself begins with the first hour.
    """
    _check(request)
    started = workspace.clock.monotonic()
    drained = Services(workspace).drain()
    grid = _grid(workspace, asked.model, version)
    hours = _hours(workspace, asked, grid)
    learnt = parse_stretch(request.against, workspace.clock.now()) if request.against != "reference" else None
    wanted = _wanted(workspace, request, asked.model, grid)
    series = _series(hours, wanted, learnt) if any(hours.values()) else _no_hour(wanted, workspace.clock.now())
    from prodml_magics.stats.drift.watch import watch

    days = None if learnt is None else _days(learnt)
    found = watch(series.values, series.first, alpha=request.alpha / 24, reference_days=days)
    record = _record(workspace, request, asked, version, grid, series, found, workspace.clock.monotonic() - started)
    seen = None if drained is not None else record.window.until
    return WatchResult(_replaced(record, seen), {})


class _Series(NamedTuple):
    """`values` [hours, names] from the hour `first` since 1970 on; `names` are column and series; `rows` of all hours."""

    names: list[tuple[str, str]]
    values: np.ndarray
    first: int
    rows: int


def _check(request: Drift) -> None:
    flags = {
        "--last": request.last,
        "--by": request.by,
        "--method": request.method,
        "--exact": request.exact,
        "--tolerance": request.tolerance,
        "--same-hour": request.same_hour,
        "--source rows": request.source == "rows",
        "--embed": request.embed,
        "--fdr": request.fdr != "bh",
        "--device gpu": request.device == "gpu",
    }
    flag = next((flag for flag, given in flags.items() if given), "")
    if flag:
        raise UsageError(f"{flag} has no meaning with --sequential, which judges hours by what was learnt of hours; leave it out")
    if request.against != "reference" and "/" not in request.against:
        raise UsageError(
            "with --sequential --against takes SINCE/UNTIL, the served hours to learn from; leave it out for the first"
        )


def _days(learnt: tuple[datetime, datetime]) -> int:
    days = int((learnt[1] - learnt[0]).total_seconds() // DAY)
    if days < _LEAST_DAYS:
        raise UsageError(f"--against spans {days} days, and a watch learns from at least {_LEAST_DAYS}; widen it")
    return days


def _grid(workspace: Workspace, model: str, version: int) -> VersionGrid:
    """That of the version whose sketches reach back furthest, else of the one that is asked for."""
    first = bucket_store(workspace).first_grid(model)
    for candidate in dict.fromkeys((int(first.partition(":")[0]) if first else version, version)):
        grid = read_grid(workspace, model, candidate)
        if grid is not None and first in (None, grid.name):
            return grid
    found = read_grid(workspace, model, version)
    if found is None:
        raise InvalidInput(f"{model}@{version} has no profile, on whose quantiles hours are counted; register it with --train")
    return found


def _hours(workspace: Workspace, asked: Asked, grid: VersionGrid) -> dict[int, Hour]:
    """What is kept of every hour that is over, by its number since 1970."""
    from prodml_magics.stats.drift.bucket import total, unpack
    from prodml_magics.stats.drift.hourly import hour_of, merged_hours, unpack_hour

    store = bucket_store(workspace)
    old: dict[int, list[Hour]] = {}
    for start, summary in store.series(asked.model, grid.name, asked.arms):
        old.setdefault(start // HOUR, []).append(unpack_hour(summary))
    packed: dict[int, list[bytes]] = {}
    for kept in store.read(asked.model, grid.name, asked.arms, None, None):
        if kept.key.width < DAY and kept.sketches is not None:
            packed.setdefault(kept.key.start // HOUR, []).append(kept.sketches)
    over = int(workspace.clock.now().timestamp()) // HOUR
    found = {hour: merged_hours(parts) for hour, parts in old.items()}
    found |= {hour: hour_of(total(map(unpack, parts))) for hour, parts in packed.items() if hour < over}
    if not any(found.values()) and not kept_rows(workspace, asked._replace(since=None, until=None)):
        raise NotFound(
            f"{asked.model} has answered no rows that the controller has sketched; send requests, and start it with %up"
        )
    return found


def _wanted(workspace: Workspace, request: Drift, model: str, grid: VersionGrid) -> list[str]:
    mask = workspace.route(model).serving.mask
    for name in request.columns:
        if name not in grid.grids:
            raise InvalidInput(f"the profile has no column {name!r}; {did_you_mean(name, list(grid.grids))}")
        if name in mask:
            raise InvalidInput(f"column {name!r} is masked, so that its values are not in the request log; see --mask of %deploy")
    return [name for name in request.columns or grid.grids if name not in mask]


def _series(hours: dict[int, Hour], wanted: Sequence[str], learnt: tuple[datetime, datetime] | None) -> _Series:
    from prodml_magics.stats.drift.hourly import ROWS

    begin = None if learnt is None else int(-(-learnt[0].timestamp() // HOUR))
    kept = {hour: found for hour, found in hours.items() if found and (begin is None or hour >= begin)}
    if not kept:
        raise NotFound("no hour was served in the stretch to learn from; choose another --against")
    first = min(kept) if begin is None else begin
    names = [
        (column, series)
        for column in wanted
        for series in sorted({series for found in kept.values() for series in found.get(column, {})} - {ROWS})
    ]
    values = np.full((max(kept) - first + 1, len(names)), np.nan)
    places = {name: place for place, name in enumerate(names)}
    for hour, found in kept.items():
        for column, of_column in found.items():
            for series, value in of_column.items():
                if (column, series) in places:
                    values[hour - first, places[column, series]] = value
    rows = sum(max((each[ROWS] for each in found.values()), default=0) for found in kept.values())
    return _Series(names, values, first, int(rows))


def _no_hour(wanted: Sequence[str], now: datetime) -> _Series:
    """Where no hour is over yet in which as many rows were answered as tell something."""
    return _Series([(column, "mean") for column in wanted], np.zeros((0, len(wanted))), int(now.timestamp()) // HOUR, 0)


# ── the result ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _record(
    workspace: Workspace,
    request: Drift,
    asked: Asked,
    version: int,
    grid: VersionGrid,
    series: _Series,
    found: Watched,
    seconds: float,
) -> DriftRecord:
    alarms = tuple(_alarm(alarm, series, found, grid) for alarm in found.alarms)
    counted = [
        each for each in alarms if (not asked.since or each.at >= asked.since) and (not asked.until or each.at < asked.until)
    ]
    latest = counted[-1] if counted else None
    drifted = latest.columns if latest else ()
    since, until = _moment(series.first), _moment(series.first + len(series.values))
    judged = [int(hour) for hour in found.since if hour >= 0]
    learning = found.learning_days > 0
    watched = WatchRecord(
        state="learning" if learning else "watching",
        days_left=found.learning_days,
        since=since,
        judged_from=_moment(min(judged)) if judged else None,
        hours=len(series.values),
        evidence=found.evidence,
        average_days=1 / request.alpha,
        alarms=alarms,
    )
    learnt = f"its own hours until {moment(_moment(min(judged)))}" if judged else "its own days so far"
    return DriftRecord(
        model=asked.model,
        version=version,
        verdict="drift" if latest else "undecided" if learning else "no drift",
        drifted=drifted,
        outputs=tuple(name for name in grid.grids if name in grid.outputs),
        columns=_columns(series, found, drifted),
        window=Window(since=since, until=until, rows=series.rows),
        device="cpu, from sketches",
        seconds=seconds,
        against=learnt,
        summary=latest.reason if latest else "",
        source="sketches",
        watch=watched,
    )


def _replaced(record: DriftRecord, seen: datetime | None) -> DriftRecord:
    from msgspec.structs import replace

    return replace(record, seen_until=seen)


def _alarm(alarm: Alarm, series: _Series, found: Watched, grid: VersionGrid) -> AlarmRecord:
    columns = tuple(dict.fromkeys(series.names[place][0] for place in alarm.culprits))
    column, name = series.names[alarm.culprits[0]]
    began = _moment(alarm.began)
    before, after = (
        _in_unit(value, name, column, grid) for value in _around(series.values[:, alarm.culprits[0]], alarm, series.first)
    )
    more = f" and {len(columns) - 1} more columns" if len(columns) > 1 else ""
    reason = f"{column}: {_said(name, column, grid)} went from {before:.3g} to {after:.3g} at about {moment(began)}{more}"
    return AlarmRecord(at=_moment(alarm.hour + 1), began=began, columns=columns, reason=reason)


def _around(values: np.ndarray, alarm: Alarm, first: int) -> tuple[float, float]:
    """Mean of a series before its alarm began, and from then to the alarm."""
    began = alarm.began - first
    before, after = values[:began], values[began : alarm.hour - first + 1]
    return tuple(float(np.nanmean(part)) if np.isfinite(part).any() else float("nan") for part in (before, after))  # type: ignore[return-value]


def _in_unit(value: float, series: str, column: str, grid: VersionGrid) -> float:
    """Means are kept in sd from the training mean."""
    from prodml_magics.stats.drift.sketch import SketchGrid

    own = grid.grids[column]
    return own.centre + own.scale * value if series == "mean" and isinstance(own, SketchGrid) else value


def _said(series: str, column: str, grid: VersionGrid) -> str:
    from prodml_magics.stats.drift.hourly import said

    levels = grid.grids[column]
    return said(series, levels if isinstance(levels, tuple) and series.startswith("= ") else ())  # type: ignore[arg-type]


def _columns(series: _Series, found: Watched, drifted: Sequence[str]) -> list[dict[str, object]]:
    columns = []
    for column in dict.fromkeys(name for name, _ in series.names):
        places = [place for place, (name, _) in enumerate(series.names) if name == column]
        shifts = found.shift[places]
        known = np.isfinite(shifts)
        strongest = places[int(np.nanargmax(np.abs(shifts)))] if known.any() else places[0]
        shift = float(found.shift[strongest]) if known.any() else None
        columns.append(
            {
                "column": column,
                "drifted": column in drifted,
                "shift": shift,
                "series": series.names[strongest][1],
                "reason": _state(found.since[places], shift),
            }
        )
    return columns


def _state(since: np.ndarray, shift: float | None) -> str:
    if (since >= 0).any():
        return f"judged by the hour since {moment(_moment(int(since[since >= 0].min())))}"
    if (since == -1).any():
        return "still learnt; its days are judged" if shift is not None else "still learnt; days are judged from the eighth on"
    return "moves too slowly, or has too few hours, to be judged by the hour"


def _moment(hour: int) -> datetime:
    return datetime.fromtimestamp(int(hour) * HOUR, UTC)
