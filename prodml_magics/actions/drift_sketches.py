"""%drift from the sketches that the controller keeps: of windows with more rows than one wants to read, or whose rows are gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from prodml_magics.actions.buckets import VersionGrid, bucket_store, grid_of
from prodml_magics.actions.earlier import earlier_said, earlier_stretches
from prodml_magics.actions.formats import moment
from prodml_magics.actions.kept import Asked, KeptWindow, is_whole, kept_rows, kept_window, kept_windows
from prodml_magics.actions.profiles import profile_of
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import InvalidInput, NotFound, UsageError
from prodml_magics.wire.names import parse_reference
from prodml_magics.wire.requests import Drift

if TYPE_CHECKING:
    from prodml_magics.stats.drift import Detection, Reference
    from prodml_magics.wire.admin import Drained

__all__ = ["MANY_ROWS", "FromSketches", "from_sketches"]

MANY_ROWS = 100_000
"""Windows of more rows are compared from sketches, unless rows are asked for."""


class FromSketches(NamedTuple):
    """What was found, and what it rests on; `earlier` is None where the profile is compared with."""

    found: Detection
    reference: Reference
    grid: VersionGrid
    now: KeptWindow
    earlier: KeptWindow | None
    against: str


def from_sketches(
    workspace: Workspace, request: Drift, asked: Asked, version: int, drained: Drained | None
) -> FromSketches | None:
    """The comparison of a window without its rows; None where its rows are to be read, or have to be.

    With ``--source sketches`` what cannot be had from them is an error instead.
    """
    insists = request.source == "sketches"
    if request.source == "rows" or (flag := _needs_rows(request)):
        if insists:
            raise UsageError(f"{flag} needs the rows; leave out --source sketches")
        return None
    if not insists and kept_rows(workspace, asked) <= MANY_ROWS:
        return None
    found = _compared(workspace, request, asked, version, drained)
    if isinstance(found, str):
        if insists:
            raise InvalidInput(f"the window cannot be had from sketches: {found}; leave out --source sketches")
        return None
    return found


def _needs_rows(request: Drift) -> str:
    flags = {
        "--last": request.last,
        "--by": request.by,
        "--method": request.method,
        "--exact": request.exact,
        "--embed": request.embed,
        "--device gpu": request.device == "gpu",
    }
    return next((flag for flag, given in flags.items() if given), "")


def _compared(workspace: Workspace, request: Drift, asked: Asked, version: int, drained: Drained | None) -> FromSketches | str:
    """The comparison, or why there is none."""
    store = bucket_store(workspace)
    if not store.exists():
        return "none were kept yet; the controller makes them, so start it with %up"
    if (drained is None or asked.model in drained.problems) and not is_whole(workspace, asked.model):
        return "the controller has not sketched all rows yet"
    since = asked.since or workspace.clock.now()
    stretches = earlier_stretches(request, since, asked.until or workspace.clock.now())
    of_version = version if stretches else _profiled(request, asked.model, version)
    profile = None if of_version is None else profile_of(workspace, asked.model, of_version)
    if of_version is None or profile is None:
        return "they are kept on the quantiles of a version's profile, and there is none"
    from prodml_magics.stats.drift import from_arrow

    reference = from_arrow(profile)
    grid = grid_of(of_version, profile, reference)
    now = kept_window(workspace, asked, grid)
    if now is None:
        return f"not all of its rows were sketched on the quantiles of version {of_version}"
    taken = [column.name for column in workspace.contract(asked.model, version).columns]
    if any(name not in reference.columns for name in taken):
        return "the live version takes columns that the version whose quantiles they are kept on does not"
    names = _names(reference, workspace.route(asked.model).serving.mask, request)
    if not stretches:
        return FromSketches(
            _detect(reference, now, None, names, request), reference, grid, now, None, f"version {of_version}'s training rows"
        )
    earlier = kept_windows(workspace, asked, grid, stretches)
    if earlier is None:
        return "not all rows of the window to compare with were sketched"
    said = earlier_said(request, sum(earlier.holds(*stretch) for stretch in stretches))
    first, last = max(stretches[0][0], earlier.since), min(stretches[-1][1], earlier.until)
    against = f"{earlier.rows} {said}, {moment(first)} to {moment(last)}"
    return FromSketches(_detect(reference, now, earlier, names, request), reference, grid, now, earlier, against)


def _profiled(request: Drift, model: str, version: int) -> int | None:
    """Whose profile is compared with; None where it is another model's."""
    if request.against == "reference":
        return version
    which = parse_reference(request.against)
    return which.version if which.name == model else None


def _names(reference: Reference, mask: Sequence[str], request: Drift) -> list[str]:
    from prodml_magics.stats.nearest import nearest

    for name in request.columns:
        if name in mask:
            raise InvalidInput(f"column {name!r} is masked, so that its values are not in the request log; see --mask of %deploy")
        if name not in reference.columns:
            raise NotFound(f"the reference has no column '{name}'; {nearest(name, reference.names)}")
    return [name for name in request.columns or reference.names if name not in mask]


def _detect(reference: Reference, now: KeptWindow, earlier: KeptWindow | None, names: Sequence[str], request: Drift) -> Detection:
    from prodml_magics.stats.drift import Tolerances
    from prodml_magics.stats.drift.detect_sketches import detect_between, detect_sketches

    tolerances = None if request.tolerance is None else Tolerances(request.tolerance, request.tolerance)
    sketches = {name: now.sketches[name] for name in names if name in now.sketches}
    if earlier is None:
        return detect_sketches(reference, sketches, alpha=request.alpha, tolerances=tolerances, fdr=request.fdr)
    chunks = [bucket.sketches for bucket in earlier.buckets]
    return detect_between(
        reference, earlier.sketches, sketches, chunks, alpha=request.alpha, tolerances=tolerances, fdr=request.fdr
    )
