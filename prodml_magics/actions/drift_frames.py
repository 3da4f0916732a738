"""%drift of two frames, or of two files, whatever their size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from prodml_magics.actions.drift_compared import Sides, compared, prepared, record_of
from prodml_magics.actions.frames import as_columns
from prodml_magics.actions.profiles import SAMPLE
from prodml_magics.actions.results import DriftResult
from prodml_magics.actions.streamed import Scanned, drawn_vectors, large, one_sided, sampled_reference, scan, sketched
from prodml_magics.actions.workspace import Workspace
from prodml_magics.clock import Clock
from prodml_magics.contract.nearest import did_you_mean
from prodml_magics.errors import InvalidInput, UsageError
from prodml_magics.wire.requests import Drift
from prodml_magics.wire.results import Window

if TYPE_CHECKING:
    from prodml_magics.stats.drift.changed import Changed

__all__ = ["between_frames"]


def between_frames(workspace: Workspace, request: Drift) -> DriftResult:
    """Whole in memory, or batch by batch where both are files of which one exceeds ``--memory``."""
    if request.current is None:
        raise UsageError("give the frame to compare with as well: %drift REFERENCE CURRENT")
    if request.window or request.last or request.since or request.until:
        raise UsageError("--window, --last, --since and --until choose rows of a served model; two frames are compared whole")
    if request.arm != "served":
        raise UsageError("--arm chooses rows of a served model; two frames are compared whole")
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
    sides = Sides(prepared(kept[0], request), kept[1], window, "the reference frame", kept[0], changed=changed)
    return compared(sides, request)


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

    needs = {"--method": request.method, "--by": request.by, "--embed": request.embed, "--device gpu": request.device == "gpu"}
    if flag := next((flag for flag, given in needs.items() if given), ""):
        raise UsageError(f"{flag} needs the rows, and the files exceed --memory {request.memory:g}; raise it, or add --exact")
    names = [dict.fromkeys(each.frame.collect_schema().names()) for each in (reference, current)]
    _check_names(names[0], names[1], request)
    common = [name for name in names[0] if name in names[1] and (not request.columns or name in request.columns)]
    summarised = sampled_reference(reference, common, SAMPLE, request.memory)
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
    kept = min(SAMPLE, reference.rows)
    against = f"a sample of {kept:,} of {reference.rows:,} reference rows"
    record = record_of(Sides(summarised, {}, window, against, None), found, [])
    note = "worst parts are looked for in rows that fit into --memory" if record.drifted else ""
    record = msgspec.structs.replace(record, source="sketches", note=note)
    details = {name: sketch_detail(summarised, sketch, name).to_dict() for name, sketch in sketches.items()}
    details |= {name: column_detail(summarised, drawn.values, name).to_dict() for name, drawn in vectors.items()}
    return DriftResult(record, details)


def _check_names(reference: Mapping[str, Any], current: Mapping[str, Any], request: Drift) -> None:
    """Refuse names that neither frame has, and frames that have no column in common."""
    from prodml_magics.stats.drift.changed import check_common

    either = {**reference, **current}
    for name in request.columns:
        if name not in either:
            raise InvalidInput(f"neither frame has a column {name!r}; {did_you_mean(name, list(either))}")
    check_common(reference, current)
