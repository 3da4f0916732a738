"""%drift: a window of served rows against what its version was trained on, or against other rows; or two frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import numpy as np

from prodml_magics.actions.buckets import bucket_store, read_grid
from prodml_magics.actions.deploy import resolve
from prodml_magics.actions.detection import detect_request
from prodml_magics.actions.drift_sketches import FromSketches, from_sketches
from prodml_magics.actions.earlier import check_against, earlier_said, earlier_stretches
from prodml_magics.actions.embedded import with_embeddings
from prodml_magics.actions.formats import moment
from prodml_magics.actions.frames import as_columns
from prodml_magics.actions.kept import Asked
from prodml_magics.actions.onsets import find_kept_onsets, find_onsets
from prodml_magics.actions.profiles import build_profile, profile_of
from prodml_magics.actions.results import DriftResult
from prodml_magics.actions.sampled import sampling_note
from prodml_magics.actions.scores import calibration_of
from prodml_magics.actions.services import Services
from prodml_magics.actions.slices import compare_slices, search_slices
from prodml_magics.actions.streamed import Scanned, drawn_vectors, large, one_sided, sampled_reference, scan, sketched
from prodml_magics.actions.watching import watch_model
from prodml_magics.actions.windows import before, parse_duration, parse_time
from prodml_magics.actions.workspace import Workspace
from prodml_magics.clock import Clock
from prodml_magics.contract.nearest import did_you_mean
from prodml_magics.errors import InvalidInput, NotFound, UsageError
from prodml_magics.wire.names import parse_reference
from prodml_magics.wire.requests import Drift
from prodml_magics.wire.results import DriftRecord, OnsetRecord, Window

if TYPE_CHECKING:
    import polars as pl

    from prodml_magics.stats.drift import Detection, Reference
    from prodml_magics.stats.drift.changed import Changed

__all__ = ["drift", "last_seen"]

_ARMS = {"served": ("live", "canary", "fallback", "cache")}
_SAMPLE = 100_000

Columns = dict[str, np.ndarray]


def drift(workspace: Workspace, request: Drift) -> DriftResult:
    """Compare; what was answered a moment ago is seen, since the controller is asked to bring it in first."""
    _check_methods(request)
    if request.current is not None or not isinstance(request.model, str):
        return _between_frames(workspace, request)
    return _of_model(workspace, request)


def _check_methods(request: Drift) -> None:
    if request.method:
        from prodml_magics.stats.drift.joint import JOINT
        from prodml_magics.stats.drift.statistics import check_methods

        check_methods(request.method, tuple(JOINT))


class _Sides(NamedTuple):
    """A reference, the rows of now, and the rows behind the reference where there are any at hand."""

    reference: Reference
    current: Columns
    window: Window
    against: str
    rows: Mapping[str, np.ndarray] | None
    model: str | None = None
    version: int | None = None
    seen_until: datetime | None = None
    changed: Mapping[str, Changed] = {}
    """Columns that cannot be read."""


# ── two frames ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _between_frames(workspace: Workspace, request: Drift) -> DriftResult:
    if request.current is None:
        raise UsageError("give the frame to compare with as well: %drift REFERENCE CURRENT")
    if request.window or request.last or request.since or request.until:
        raise UsageError("--window, --last, --since and --until choose rows of a served model; two frames are compared whole")
    if request.train is not None:
        raise UsageError("--train builds the profile of a served model's version; two frames need none")
    if request.sequential:
        raise UsageError("--sequential watches the rows that a model is served, hour by hour; two frames are compared once")
    if request.source != "auto":
        raise UsageError("--source chooses what a served model's window is read from; two frames are read as --memory says")
    if request.against != "reference" or request.same_hour:
        flag = "--same-hour" if request.same_hour else "--against"
        raise UsageError(f"{flag} chooses what a served model is compared with; two frames are compared with each other")
    files = [scan(Path(frame)) if isinstance(frame, str | Path) else None for frame in (request.model, request.current)]
    if files[0] and files[1] and not request.exact and any(large(each, request.memory) for each in files):
        return _between_files(workspace.clock, files[0], files[1], request)
    opaque: tuple[set[str], set[str]] = set(), set()
    reference = as_columns(request.model, "reference frame", opaque[0])
    current = as_columns(request.current, "current frame", opaque[1])
    if not reference and not opaque[0]:
        raise InvalidInput("the reference frame has no columns; give one with the columns to compare")
    _check_names({**reference, **dict.fromkeys(opaque[0])}, {**current, **dict.fromkeys(opaque[1])}, request)
    rows = len(next(iter(current.values()), ()))
    window = Window(since=None, until=None, rows=rows)
    changed = _opaque(len(next(iter(reference.values()), ())), rows, opaque, request)
    kept = [{name: values for name, values in side.items() if name not in changed} for side in (reference, current)]
    sides = _Sides(_prepared(kept[0], request), kept[1], window, "the reference frame", kept[0], changed=changed)
    return _result(sides, request)


def _opaque(before: int, now: int, opaque: tuple[set[str], set[str]], request: Drift) -> dict[str, Changed]:
    """Columns that a side holds in a form that nothing can be said of; nobody knows whether one has moved that both hold so."""
    from prodml_magics.stats.drift.changed import Changed

    found = {}
    for name in sorted(opaque[0] | opaque[1]):
        both = name in opaque[0] and name in opaque[1]
        held = "holds" if both else "held" if name in opaque[0] else "now holds"
        reason = f"{held} structs or complex numbers, which have no order; give their parts as columns of their own"
        if not request.columns or name in request.columns:
            found[name] = Changed("categorical", (before, now), (0, 0), reason, None if both else True)
    return found


def _between_files(clock: Clock, reference: Scanned, current: Scanned, request: Drift) -> DriftResult:
    """Files beyond the memory bound: exact counts on the grid of a sample of the reference."""
    from prodml_magics.stats.drift import Tolerances, column_detail
    from prodml_magics.stats.drift.detect_sketches import detect_sketches
    from prodml_magics.stats.drift.sketch_detail import sketch_detail

    if request.method or request.by or request.embed is not None:
        flag = "--method" if request.method else "--by" if request.by else "--embed"
        raise UsageError(f"{flag} needs the rows, and the files exceed --memory {request.memory:g}; raise it, or add --exact")
    names = [dict.fromkeys(each.frame.collect_schema().names()) for each in (reference, current)]
    _check_names(names[0], names[1], request)
    common = [name for name in names[0] if name in names[1] and (not request.columns or name in request.columns)]
    summarised = sampled_reference(reference, common, _SAMPLE, request.memory)
    started = clock.monotonic()
    sketches, refused = sketched(current, summarised, request.memory)
    vectors, others = drawn_vectors(current, summarised, request.memory)
    changed = one_sided(reference, current, request.columns) | refused | others
    tolerances = None if request.tolerance is None else Tolerances(request.tolerance, request.tolerance)
    found = detect_sketches(
        summarised,
        sketches,
        alpha=request.alpha,
        tolerances=tolerances,
        fdr=request.fdr,
        changed=changed,
        vectors={name: (drawn, current.rows) for name, drawn in vectors.items()},
    )
    found = found._replace(seconds=clock.monotonic() - started)
    window = Window(since=None, until=None, rows=current.rows)
    kept = min(_SAMPLE, reference.rows)
    against = f"a sample of {kept:,} of {reference.rows:,} reference rows"
    record = msgspec.structs.replace(_record(_Sides(summarised, {}, window, against, None), found, []), source="sketches")
    details = {name: sketch_detail(summarised, sketch, name).to_dict() for name, sketch in sketches.items()}
    details |= {name: column_detail(summarised, drawn.values, name).to_dict() for name, drawn in vectors.items()}
    return DriftResult(record, details)


def _prepared(
    columns: Mapping[str, np.ndarray], request: Drift, *, calibrate: bool | Literal["correlation"] = "correlation"
) -> Reference:
    """Of two frames tolerances are the default ones; that neighbouring rows are alike counts all the same."""
    from prodml_magics.stats.drift import prepare

    wanted = set(request.columns) or set(columns)
    rows = len(next(iter(columns.values()), ()))
    chosen = {name: values for name, values in columns.items() if name in wanted}
    return prepare(chosen or columns, sample=max(1, rows) if request.exact else _SAMPLE, calibrate=calibrate)


def _check_names(reference: Mapping[str, Any], current: Mapping[str, Any], request: Drift) -> None:
    """Refuse names that neither frame has, and frames that have no column in common."""
    from prodml_magics.stats.drift.changed import check_common

    either = {**reference, **current}
    for name in request.columns:
        if name not in either:
            raise InvalidInput(f"neither frame has a column {name!r}; {did_you_mean(name, list(either))}")
    check_common(reference, current)


# ── a served model ─────────────────────────────────────────────────────────────────────────────────────────────────


def _of_model(workspace: Workspace, request: Drift) -> DriftResult:
    which = parse_reference(request.model)
    now = workspace.clock.now()
    since, until = _window(request, now)
    version = resolve(workspace, which, default="live") if which.version or which.alias else workspace.live(which.name)
    if request.train is not None:
        build_profile(workspace, which.name, version, request.train)
    if request.sequential:
        return watch_model(workspace, request, Asked(which.name, _ARMS.get(request.arm, (request.arm,)), since, until), version)
    check_against(request, since)
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
    sides = _without_masked(sides, workspace.route(which.name).serving.mask, request)
    result = _result(sides._replace(model=which.name, version=version, seen_until=seen), request)
    moved = [name for name in result.record.drifted if name in result.details and name in sides.reference.columns]
    onsets = _onsets(workspace, asked, version, sides, rows, moved, request.alpha)
    note = "; ".join(filter(None, (result.record.note, sampling_note(rows))))
    scores = calibration_of(workspace, which.name, version, rows, request.alpha)
    verdict: Literal["drift", "no drift", "undecided"] = "drift" if scores.get("drifted") else result.record.verdict
    record = msgspec.structs.replace(result.record, onsets=tuple(onsets), note=note, calibration=scores, verdict=verdict)
    return DriftResult(record, result.details)


def _onsets(
    workspace: Workspace,
    asked: Asked,
    version: int,
    sides: _Sides,
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
    sides = _Sides(sketched.reference, {}, window, sketched.against, None, asked.model, version, seen)
    record = msgspec.structs.replace(
        _record(sides, found, []),
        source="sketches",
        rows_read=now.read + (0 if earlier is None else earlier.read),
        onsets=tuple(find_kept_onsets(workspace, asked, sketched.grid, found.drifted, request.alpha) or ()),
    )
    before_now = {} if earlier is None else earlier.sketches
    details = {
        name: sketch_detail(sketched.reference, now.sketches[name], name, before_now.get(name)).to_dict() for name in found.names
    }
    return DriftResult(record, details)


def _without_masked(sides: _Sides, mask: tuple[str, ...], request: Drift) -> _Sides:
    """What is compared without the columns whose values no log holds."""
    from prodml_magics.stats.drift import Reference

    asked = [name for name in request.columns if name in mask]
    if asked:
        raise InvalidInput(f"column {asked[0]!r} is masked, so that its values are not in the request log; see --mask of %deploy")
    kept = {name: column for name, column in sides.reference.columns.items() if name not in mask}
    reference = Reference(kept, sides.reference.extras, sides.reference.rows, sides.reference.joint)
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


def _against_profile(workspace: Workspace, name: str, version: int, rows: pl.DataFrame, window: Window, request: Drift) -> _Sides:
    of_version, against = version, f"version {version}'s training rows"
    if request.against != "reference":
        other = _other_version(workspace, request.against)
        name, of_version, against = other[0], other[1], f"{other[0]}@{other[1]}'s training rows"
    reference = _profile(workspace, name, of_version)
    return _Sides(reference, _columns(rows, reference, version), window, against, None)


def _other_version(workspace: Workspace, text: str) -> tuple[str, int]:
    if "@" not in text:
        raise UsageError(f"--against {text!r} is none of reference, previous, a stretch such as 7d, SINCE/UNTIL, or NAME@V")
    which = parse_reference(text)
    return which.name, resolve(workspace, which, default="live")


def _against_rows(name: str, version: int, compared: _Earlier, rows: pl.DataFrame, window: Window, request: Drift) -> _Sides:
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
    against = f"{earlier.height} {compared.said}, {moment(first)} to {moment(last)}"
    inputs = {name: before_now[name] for name in names}
    return _Sides(reference, _columns(rows, reference, version), window, against, inputs)


def _of_unequal(columns: Columns, outputs: list[str], request: Drift) -> Reference:
    """Outputs are known for the rows of one version only, so they are summarised apart from the inputs."""
    from prodml_magics.stats.drift import Reference

    inputs = _prepared({name: values for name, values in columns.items() if name not in outputs}, request, calibrate=True)
    answers = _prepared({name: values for name, values in columns.items() if name in outputs}, request, calibrate=True)
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


# ── the result ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _result(sides: _Sides, request: Drift) -> DriftResult:
    from prodml_magics.stats.drift import column_detail

    if request.embed is not None:
        alone: Literal["correlation"] | bool = "correlation" if sides.model is None else True
        reference, current = with_embeddings(sides.reference, sides.rows, sides.current, request.embed, calibrate=alone)
        sides = sides._replace(reference=reference, current=current)
    reference, current = sides.reference, sides.current
    found = detect_request(reference, current, request, changed=sides.changed)
    # Parts are looked at, and pictures drawn, of what was compared alone.
    current = {name: values for name, values in current.items() if name not in found.changed}
    rows = None if sides.rows is None else {name: values for name, values in sides.rows.items() if name in current}
    by = rows is not None and bool(request.by)
    slices = compare_slices(rows or {}, current, request) if by else search_slices(reference, rows, current, request)
    details = {name: column_detail(reference, current[name], name).to_dict() for name in found.names if name in current}
    return DriftResult(_record(sides, found, slices), details)


def _record(sides: _Sides, found: Detection, slices: list[dict[str, Any]]) -> DriftRecord:
    table = found.to_columns()
    return DriftRecord(
        model=sides.model,
        version=sides.version,
        verdict=_verdict(found),
        drifted=tuple(found.drifted),
        outputs=tuple(name for name in sides.reference.extras.get("outputs", ()) if name in found.names),
        columns=[dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)],
        window=sides.window,
        device=found.device,
        seconds=found.seconds,
        against=sides.against,
        summary=_summary(found),
        dataset=found.dataset._asdict(),
        joint=[_plain(finding._asdict()) for finding in found.joint],
        slices=slices,
        seen_until=sides.seen_until,
    )


def _verdict(found: Detection) -> Literal["drift", "no drift", "undecided"]:
    if found.drifted or any(finding.drifted for finding in found.joint):
        return "drift"
    return "undecided" if len(found.undecided) == len(found.names) else "no drift"


def _summary(found: Detection) -> str:
    """What the columns that moved most look like, in sentences."""
    effects = [np.inf if name in found.changed else effect for name, effect in zip(found.names, found.effect, strict=True)]
    places = sorted((i for i, name in enumerate(found.names) if name in found.drifted), key=lambda i: -effects[i])
    said = [found.sentence[i] for i in places[:2]]
    said += [f"all numeric columns: {finding.reason}" for finding in found.joint if finding.drifted]
    more = f"{len(places) - 2} more columns drifted" if len(places) > 2 else ""
    return ". ".join([*said, *([more] if more else [])])


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in values.items()}
