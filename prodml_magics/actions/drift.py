"""%drift: a window of served rows against what its version was trained on, or against other rows; or two frames."""

from __future__ import annotations

from pathlib import Path

from prodml_magics.actions.drift_frames import between_frames
from prodml_magics.actions.drift_served import of_served
from prodml_magics.actions.results import DriftResult
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import UsageError
from prodml_magics.wire.requests import Drift

__all__ = ["drift"]


def drift(workspace: Workspace, request: Drift) -> DriftResult:
    """Compare; what was answered a moment ago is seen, since the controller is asked to bring it in first."""
    _check_methods(request)
    if request.current is not None or not isinstance(request.model, str):
        return between_frames(workspace, request)
    if _is_file(request.model):
        raise UsageError(f"{request.model} is a file, and one frame is compared with another; give that as well")
    return of_served(workspace, request)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # longer than a path may be, or with a null in it
        return False


def _check_methods(request: Drift) -> None:
    if request.method:
        from prodml_magics.stats.drift.joint import JOINT
        from prodml_magics.stats.drift.statistics import check_methods

        check_methods(request.method, tuple(JOINT))
