"""%drift: a window of served rows against the profile of the live version, or two frames against each other."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

import numpy as np

from prodml_magics.actions.frames import as_columns
from prodml_magics.actions.results import DriftResult
from prodml_magics.actions.services import Services
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import InvalidInput, NotFound, UsageError
from prodml_magics.wire.names import parse_reference
from prodml_magics.wire.requests import Drift
from prodml_magics.wire.results import DriftRecord, Window

if TYPE_CHECKING:
    import polars as pl

    from prodml_magics.stats.drift import Detection, Reference

__all__ = ["drift", "last_seen", "parse_duration"]

_ARMS = {"served": ("live", "canary", "fallback")}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d{1,6}(?:\.\d+)?)\s*([smhdw])\Z")


def drift(workspace: Workspace, request: Drift) -> DriftResult:
    """Compare; what was answered a moment ago is seen, since the controller is asked to bring it in first."""
    if request.current is not None or not isinstance(request.model, str):
        return _between_frames(request)
    return _of_model(workspace, request)


def _between_frames(request: Drift) -> DriftResult:
    from prodml_magics.stats.drift import prepare

    if request.current is None:
        raise UsageError("give the frame to compare with as well: %drift REFERENCE CURRENT")
    if request.window or request.last or request.since or request.until:
        raise UsageError("--window, --last, --since and --until choose rows of a served model; two frames are compared whole")
    reference = prepare(as_columns(request.model, "reference frame"))
    current = as_columns(request.current, "current frame")
    rows = len(next(iter(current.values()), ()))
    return _result(reference, current, request, model=None, version=None, window=Window(since=None, until=None, rows=rows))


def _of_model(workspace: Workspace, request: Drift) -> DriftResult:
    from prodml_magics.stats.drift import from_arrow

    which = parse_reference(request.model)
    now = workspace.clock.now()
    since, until = _window(request, now)
    version = which.version or workspace.live(which.name)
    files = workspace.files(which.name, version)
    profile = workspace.home / files.folder / "profile.arrow"
    if not profile.exists():
        raise InvalidInput(
            f"{which.name}@{version} has no profile: it was registered without training rows; register it with --train"
        )
    reference = from_arrow(profile.read_bytes())
    drained = Services(workspace).drain()
    frame = workspace.lake.rows(
        which.name, arms=_ARMS.get(request.arm, (request.arm,)), since=since, until=until, last=request.last
    )
    if frame.is_empty():
        raise NotFound(f"{which.name} has answered no rows in this window; send requests to it, or widen the window")
    current = _columns(frame, reference, version)
    window = Window(since=frame["received_at"].min(), until=frame["received_at"].max(), rows=frame.height)  # type: ignore[arg-type]
    seen = None if drained is not None else last_seen(frame)
    return _result(reference, current, request, model=which.name, version=version, window=window, seen_until=seen)


def last_seen(frame: pl.DataFrame) -> datetime:
    """When the latest of these rows was received."""
    latest = frame["received_at"].max()
    assert isinstance(latest, datetime)
    return latest


def _columns(frame: pl.DataFrame, reference: Reference, version: int) -> dict[str, np.ndarray]:
    """Inputs of all rows, outputs of those that `version` answered: another version's outputs say nothing of this profile."""
    outputs = set(reference.extras.get("outputs", ()))
    inputs = frame["inputs"].struct.unnest()
    answered = frame.filter(frame["version"] == version)
    answers = answered["outputs"].struct.unnest() if "outputs" in answered.columns else answered
    columns: dict[str, np.ndarray] = {}
    for name in reference.names:
        source = answers if name in outputs else inputs
        if name not in source.columns:
            raise InvalidInput(f"the served rows have no column {name!r}: they were answered by a version with other columns")
        columns[name] = source[name].to_numpy()
    return columns


def _result(
    reference: Reference,
    current: dict[str, np.ndarray],
    request: Drift,
    *,
    model: str | None,
    version: int | None,
    window: Window,
    seen_until: datetime | None = None,
) -> DriftResult:
    from prodml_magics.stats.drift import column_detail, detect

    found = detect(reference, current, alpha=request.alpha, columns=request.columns or None, device=request.device)
    rows = found.to_columns()
    table = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
    details = {name: column_detail(reference, current[name], name).to_dict() for name in found.names}
    record = DriftRecord(
        model=model,
        version=version,
        verdict=_verdict(found),
        drifted=tuple(found.drifted),
        outputs=tuple(name for name in reference.extras.get("outputs", ()) if name in found.names),
        columns=table,
        window=window,
        device=found.device,
        seconds=found.seconds,
        seen_until=seen_until,
    )
    return DriftResult(record, details)


def _verdict(found: Detection) -> Literal["drift", "no drift", "undecided"]:
    if found.drifted:
        return "drift"
    return "undecided" if len(found.undecided) == len(found.names) else "no drift"


def _window(request: Drift, now: datetime) -> tuple[datetime | None, datetime | None]:
    given = [name for name in ("window", "last", "since") if getattr(request, name)]
    if len(given) > 1:
        raise UsageError(f"--{given[0]} and --{given[1]} cannot be combined; choose one")
    if request.window:
        if request.until:
            raise UsageError("--window ends now, so it cannot be combined with --until; give --since and --until")
        return _before(now, request.window), None
    since = _time(request.since, "--since") if request.since else None
    until = _time(request.until, "--until") if request.until else None
    if since and until and since >= until:
        raise UsageError(f"the window is empty: --since {since.isoformat()} is not before --until {until.isoformat()}")
    return since, until


def _before(now: datetime, window: str) -> datetime:
    length = parse_duration(window)
    try:
        return now - length
    except OverflowError as error:
        raise UsageError(
            f"--window {window} reaches back before the calendar begins; leave it out to look at all rows"
        ) from error


def parse_duration(text: str) -> timedelta:
    """Read ``90s``, ``30m``, ``1h``, ``7d`` or ``2w``.

    >>> parse_duration("1h")
    datetime.timedelta(seconds=3600)
    """
    match = _DURATION.match(text.strip())
    if not match or not float(match[1]):
        raise UsageError(f"{text!r} is not a duration; write 90s, 30m, 1h, 7d or 2w")
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def _time(text: str, flag: str) -> datetime:
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{flag} {text!r} is not a time; write 2026-11-23T14:00 or 2026-11-23T14:00+01:00") from error
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
