"""`detect` with the flags of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from prodml_magics.wire.requests import Drift

if TYPE_CHECKING:
    from prodml_magics.stats.drift import Detection, Reference
    from prodml_magics.stats.drift.changed import Changed

__all__ = ["detect_request"]


def _wanted(reference: Reference, current: Mapping[str, np.ndarray], request: Drift) -> list[str] | None:
    """What --columns names, and what was made of that by --embed; None for all."""
    if not request.columns:
        return None
    either = dict.fromkeys([*reference.names, *current])
    return [name for name in either if name.removesuffix(" (embedded)") in request.columns] or list(request.columns)


def detect_request(
    reference: Reference,
    current: Mapping[str, np.ndarray],
    request: Drift,
    *,
    alpha: float | None = None,
    columns: Sequence[str] | None = None,
    changed: Mapping[str, Changed] = {},
) -> Detection:
    """Compare as the flags say; `alpha` and `columns` stand in for those of the request, `changed` are columns that nobody can read."""
    from prodml_magics.stats.drift import Tolerances, detect

    tolerances = None if request.tolerance is None else Tolerances(request.tolerance, request.tolerance)
    return detect(
        reference,
        current,
        alpha=request.alpha if alpha is None else alpha,
        tolerances=tolerances,
        fdr=request.fdr,
        methods=request.method,
        columns=_wanted(reference, current, request) if columns is None else columns or None,
        changed=changed,
        device=request.device,
    )
