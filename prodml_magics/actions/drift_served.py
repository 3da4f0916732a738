"""%drift of a window of served rows against what its version was trained on, or against other rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import numpy as np

from prodml_magics.actions.buckets import bucket_store, read_grid
from prodml_magics.actions.deploy import resolve
from prodml_magics.actions.drift_compared import Columns, Sides, compared, prepared, record_of
from prodml_magics.actions.drift_sketches import FromSketches, from_sketches
from prodml_magics.actions.earlier import check_against, earlier_said, earlier_stretches
from prodml_magics.actions.formats import moment
from prodml_magics.actions.kept import Asked
from prodml_magics.actions.onsets import find_kept_onsets, find_onsets
from prodml_magics.actions.profiles import build_profile, profile_of
from prodml_magics.actions.results import DriftResult
from prodml_magics.actions.sampled import sampling_note
from prodml_magics.actions.scores import calibration_of, calibration_of_window
from prodml_magics.actions.services import Services
from prodml_magics.actions.watching import watch_model
from prodml_magics.actions.windows import before, parse_duration, parse_time
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import InvalidInput, NotFound, UsageError
from prodml_magics.wire.names import parse_reference
from prodml_magics.wire.requests import Drift
from prodml_magics.wire.results import OnsetRecord, Window

if TYPE_CHECKING:
    import polars as pl

    from prodml_magics.stats.drift import Reference

__all__ = ["last_seen", "of_served"]

_ARMS = {"served": ("live", "canary", "fallback", "cache")}


def of_served(workspace: Workspace, request: Drift) -> DriftResult:
    """From sketches where they suffice, else from rows; a profile that is missing is said before anything is waited for."""
    which = parse_reference(request.model)
    now = workspace.clock.now()
    since, until = _window(request, now)
    version = resolve(workspace, which, default="live") if which.version or which.alias else workspace.live(which.name)
    if request.train is not None:
        build_profile(workspace, which.name, version, request.train, exact=request.exact)
    if request.sequential:
        return watch_model(workspace, request, Asked(which.name, _ARMS.get(request.arm, (request.arm,)), since, until), version)
    check_against(request, since, now)
    if request.against == "reference" and not request.same_hour:
        _profile(workspace, which.name, version)  # refused before anything is waited for
    drained = Services(workspace).drain()
    arms = _ARMS.get(request.arm, (request.arm,))
    asked = Asked(which.name, arms, since, until)
    sketched = from_sketches(workspace, request, asked, version, drained)
    if sketched is not None:
        return _of_sketches(
            workspace, request, asked, version, sketched, seen=None if drained is not None else sketched.now.until
        )
    rows = workspace.lake.rows(which.name, arms=arms, since=since, until=until, last=request.last)
    if rows.is_empty():
        raise NotFound(f"{which.name} has answered no rows in this window; send requests to it, or widen the window")
    earlier = _earlier(workspace, request, asked, rows, now)
    window = Window(since=rows["received_at"].min(), until=rows["received_at"].max(), rows=rows.height)  # type: ignore[arg-type]
    seen = None if drained is not None else last_seen(rows)
    if earlier is None:
        sides = _against_profile(workspace, which.name, version, rows, window, request)
    else:
        sides = _against_rows(which.name, version, earlier, rows, window, request)
        sides = sides._replace(reference=_binned_as(sides.reference, profile_of(workspace, which.name, version)))
    sides = _without_masked(sides, workspace.route(which.name).serving.mask, request)
    result = compared(sides._replace(model=which.name, version=version, seen_until=seen), request)
    moved = [name for name in result.record.drifted if name in result.details and name in sides.reference.columns]
    onsets = _onsets(workspace, asked, version, sides, rows, moved, request.alpha)
    note = "; ".join(filter(None, (result.record.note, _inexact(sides, request), sampling_note(rows))))
    scores = calibration_of(workspace, which.name, version, rows, request.alpha)
    verdict: Literal["drift", "no drift", "undecided"] = "drift" if scores.get("drifted") else result.record.verdict
    record = msgspec.structs.replace(result.record, onsets=tuple(onsets), note=note, calibration=scores, verdict=verdict)
    return DriftResult(record, result.details)


def _inexact(sides: Sides, request: Drift) -> str:
    """That --exact cannot be had of a profile that holds sketches."""
    if not request.exact or not any(getattr(column, "rank_error", 0) for column in sides.reference.columns.values()):
        return ""
    return "the profile holds sketches of its columns, whatever --exact says; register with --exact to keep every value"


def _onsets(
    workspace: Workspace,
    asked: Asked,
    version: int,
    sides: Sides,
    rows: pl.DataFrame,
    drifted: Sequence[str],
    alpha: float,
) -> list[OnsetRecord]:
    """From the sketches of a longer stretch where they are kept, else from the window's rows."""
    grid = read_grid(workspace, asked.model, version) if drifted and bucket_store(workspace).exists() else None
    since = sides.window.since if asked.since is None else asked.since
    found = find_kept_onsets(workspace, asked._replace(since=since), grid, drifted, alpha) if grid is not None else None
    return find_onsets(sides.reference, rows, drifted, alpha) if found is None else found


def _of_sketches(
    workspace: Workspace, request: Drift, asked: Asked, version: int, sketched: FromSketches, seen: datetime | None
) -> DriftResult:
    from prodml_magics.stats.drift.sketch_detail import sketch_detail

    now, earlier, found = sketched.now, sketched.earlier, sketched.found
    since, until = max(asked.since or now.since, now.since), min(asked.until or now.until, now.until, workspace.clock.now())
    window = Window(since=since, until=until, rows=now.rows)
    sides = Sides(sketched.reference, {}, window, sketched.against, None, asked.model, version, seen)
    scores = calibration_of_window(workspace, asked, version, request.alpha)
    record = record_of(sides, found, [])
    record = msgspec.structs.replace(
        record,
        verdict="drift" if scores.get("drifted") else record.verdict,
        calibration=scores,
        source="sketches",
        note="worst parts are looked for in rows, not in sketches; %drift --by COLUMN reads the rows" if record.drifted else "",
        rows_read=now.read + (0 if earlier is None else earlier.read),
        onsets=tuple(find_kept_onsets(workspace, asked, sketched.grid, found.drifted, request.alpha) or ()),
    )
    before_now = {} if earlier is None else earlier.sketches
    details = {
        name: sketch_detail(sketched.reference, now.sketches[name], name, before_now.get(name)).to_dict() for name in found.names
    }
    return DriftResult(record, details)


def _without_masked(sides: Sides, mask: tuple[str, ...], request: Drift) -> Sides:
    """What is compared without the columns whose values no log holds."""
    asked = [name for name in request.columns if name in mask]
    if asked:
        raise InvalidInput(f"column {asked[0]!r} is masked, so that its values are not in the request log; see --mask of %deploy")
    kept = {name: column for name, column in sides.reference.columns.items() if name not in mask}
    whole = {name: values for name, values in sides.reference.whole.items() if name not in mask}
    reference = replace(sides.reference, columns=kept, whole=whole)
    return sides._replace(
        reference=reference, current={name: values for name, values in sides.current.items() if name not in mask}
    )


class _Earlier(NamedTuple):
    """Rows that a window is compared with, and what to call them."""

    rows: pl.DataFrame
    said: str


def _earlier(workspace: Workspace, request: Drift, asked: Asked, rows: pl.DataFrame, now: datetime) -> _Earlier | None:
    """None where a version's training rows are compared with; with ``--last`` and ``--against previous`` as many rows before."""
    if request.last and request.against == "previous" and not request.same_hour:
        both = workspace.lake.rows(asked.model, arms=asked.arms, until=asked.until, last=2 * request.last)
        return _Earlier(both.head(max(0, both.height - request.last)), "rows")
    first, last = _ends(rows)
    # With --last the window is as long as its rows reach; else it ends where it was asked to.
    until = last + timedelta(microseconds=1) if request.last else asked.until or now
    stretches = earlier_stretches(request, asked.since or first, until)
    if not stretches:
        return None
    parts = [workspace.lake.rows(asked.model, arms=asked.arms, since=start, until=end) for start, end in stretches]
    held = [part for part in parts if not part.is_empty()]
    return _Earlier(_stacked(held) if held else parts[0], earlier_said(request, len(held)))


def _stacked(parts: list[pl.DataFrame]) -> pl.DataFrame:
    import polars as pl

    return parts[0] if len(parts) == 1 else pl.concat(parts, how="vertical")


def _ends(rows: pl.DataFrame) -> tuple[datetime, datetime]:
    """When the first and the last of these rows were received."""
    first, last = rows["received_at"].min(), rows["received_at"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    return first, last


def _profile(workspace: Workspace, name: str, version: int) -> Reference:
    from prodml_magics.stats.drift import from_arrow

    profile = profile_of(workspace, name, version)
    if profile is None:
        raise InvalidInput(
            f"{name}@{version} has no profile: it was registered without training rows, or elsewhere; build one with --train ROWS, "
            "or compare with earlier rows: --against previous or --against 7d"
        )
    return from_arrow(profile)


def _against_profile(workspace: Workspace, name: str, version: int, rows: pl.DataFrame, window: Window, request: Drift) -> Sides:
    of_version, against = version, f"version {version}'s training rows"
    if request.against != "reference":
        other = _other_version(workspace, request.against)
        name, of_version, against = other[0], other[1], f"{other[0]}@{other[1]}'s training rows"
    reference = _profile(workspace, name, of_version)
    if request.by and not reference.whole:
        raise UsageError(
            f"--by compares rows with rows, and the profile of {name}@{of_version}, of an earlier release, keeps none of all columns; "
            "register the model again, or add --against previous or 7d"
        )
    return Sides(reference, _columns(rows, reference, version), window, against, None)


def _other_version(workspace: Workspace, text: str) -> tuple[str, int]:
    which = parse_reference(text)
    return which.name, resolve(workspace, which, default="live")


def _against_rows(name: str, version: int, compared: _Earlier, rows: pl.DataFrame, window: Window, request: Drift) -> Sides:
    earlier = compared.rows
    if earlier.is_empty():
        what = "in the same hours of the weeks before" if request.same_hour else "before that"
        raise NotFound(f"{name} had answered no rows {what} to compare with; widen --against, or compare with the reference")
    outputs = [field.name for field in earlier.schema["outputs"].fields] if "outputs" in earlier.columns else []  # type: ignore[attr-defined]
    names = [field.name for field in earlier.schema["inputs"].fields]  # type: ignore[attr-defined]
    answered = earlier.filter(earlier["version"] == version)
    before_now = {name: earlier["inputs"].struct.field(name).to_numpy() for name in names}
    if not answered.is_empty():
        before_now |= {name: answered["outputs"].struct.field(name).to_numpy() for name in outputs}
    chosen = {name: values for name, values in before_now.items() if not request.columns or name in request.columns}
    reference = _of_unequal(chosen or before_now, [name for name in outputs if name in before_now], request)
    first, last = _ends(earlier)
    against = f"{earlier.height:,} {compared.said}, {moment(first)} to {moment(last)}"
    inputs = {name: before_now[name] for name in names}
    return Sides(reference, _columns(rows, reference, version), window, against, inputs)


def _binned_as(reference: Reference, profile: bytes | None) -> Reference:
    """Its numbers on the bins of the profile, if there is one: binned anew for each window, statistics of bins could not be compared from
    window to window, nor with what sketches tell."""
    from prodml_magics.stats.drift import from_arrow
    from prodml_magics.stats.drift.reference import NumericColumn

    known = {} if profile is None else from_arrow(profile).columns
    columns = dict(reference.columns)
    for name, column in columns.items():
        own = known.get(name)
        if not isinstance(column, NumericColumn) or not isinstance(own, NumericColumn) or column.unit != own.unit:
            continue
        if len(own.edges) and (own.edges.dtype == column.values.dtype or own.edges.dtype.kind == column.values.dtype.kind == "f"):
            columns[name] = column._replace(edges=own.edges.astype(column.values.dtype))
    return replace(reference, columns=columns)


def _of_unequal(columns: Columns, outputs: list[str], request: Drift) -> Reference:
    """Outputs are known for the rows of one version only, so they are summarised apart from the inputs."""
    from prodml_magics.stats.drift import Reference

    inputs = prepared({name: values for name, values in columns.items() if name not in outputs}, request, calibrate=True)
    answers = prepared({name: values for name, values in columns.items() if name in outputs}, request, calibrate=True)
    return Reference({**inputs.columns, **answers.columns}, {"outputs": outputs}, inputs.rows, inputs.joint)


def last_seen(frame: pl.DataFrame) -> datetime:
    """When the latest of these rows was received."""
    return _ends(frame)[1]


def _columns(frame: pl.DataFrame, reference: Reference, version: int) -> Columns:
    """Inputs of all rows, outputs of those that `version` answered: another version's outputs say nothing of this profile."""
    outputs = set(reference.extras.get("outputs", ()))
    inputs = frame["inputs"].struct.unnest()
    answered = frame.filter(frame["version"] == version)
    answers = answered["outputs"].struct.unnest() if "outputs" in answered.columns else answered
    columns: Columns = {}
    for name in reference.names:
        source = answers if name in outputs else inputs
        if name in source.columns:
            columns[name] = source[name].to_numpy()
        elif name in outputs and answers.is_empty():
            columns[name] = np.zeros(0)
    return columns | {name: inputs[name].to_numpy() for name in _new(inputs, reference)}


def _new(inputs: pl.DataFrame, reference: Reference) -> list[str]:
    """Inputs that the reference does not have; those that only other versions took are empty in these rows."""
    return [name for name in inputs.columns if name not in reference.columns and inputs[name].null_count() < inputs.height]


def _window(request: Drift, now: datetime) -> tuple[datetime | None, datetime | None]:
    given = [name for name in ("window", "last", "since") if getattr(request, name)]
    if len(given) > 1:
        raise UsageError(f"--{given[0]} and --{given[1]} cannot be combined; choose one")
    if request.window:
        if request.until:
            raise UsageError("--window ends now, so it cannot be combined with --until; give --since and --until")
        return before(now, parse_duration(request.window), f"--window {request.window}"), None
    since = parse_time(request.since, "--since") if request.since else None
    until = parse_time(request.until, "--until") if request.until else None
    if since and until and since >= until:
        raise UsageError(f"the window is empty: --since {since.isoformat()} is not before --until {until.isoformat()}")
    return since, until
