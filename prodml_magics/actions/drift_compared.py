"""A reference and the rows of now, however they were come by, and what comparing them gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import numpy as np

from prodml_magics.actions.detection import detect_request
from prodml_magics.actions.embedded import with_embeddings
from prodml_magics.actions.profiles import SAMPLE
from prodml_magics.actions.results import DriftResult
from prodml_magics.actions.slices import compare_slices, search_slices
from prodml_magics.wire.requests import Drift
from prodml_magics.wire.results import DriftRecord, Window

if TYPE_CHECKING:
    from prodml_magics.stats.drift import Detection, Reference
    from prodml_magics.stats.drift.changed import Changed

__all__ = ["Columns", "Sides", "compared", "prepared", "record_of"]

Columns = dict[str, np.ndarray]


class Sides(NamedTuple):
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


def prepared(
    columns: Mapping[str, np.ndarray], request: Drift, *, calibrate: bool | Literal["correlation"] = "correlation"
) -> Reference:
    """Of two frames tolerances are the default ones; that neighbouring rows are alike counts all the same."""
    from prodml_magics.stats.drift import prepare

    wanted = set(request.columns) or set(columns)
    rows = len(next(iter(columns.values()), ()))
    chosen = {name: values for name, values in columns.items() if name in wanted}
    return prepare(chosen or columns, sample=max(1, rows) if request.exact else SAMPLE, calibrate=calibrate)


def compared(sides: Sides, request: Drift) -> DriftResult:
    """What comparing both sides gives, with slices and pictures."""
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
    if request.by:
        whole, known = (reference.whole, reference) if rows is None else (rows, None)
        slices = compare_slices(whole, current, request, known)
    else:
        slices = search_slices(reference, rows, current, request)
    details = {name: column_detail(reference, current[name], name).to_dict() for name in found.names if name in current}
    record = msgspec.structs.replace(record_of(sides, found, slices), note=_unused(found, request.method))
    return DriftResult(record, details)


def record_of(sides: Sides, found: Detection, slices: list[dict[str, Any]]) -> DriftRecord:
    """What was found, as it goes over the wire."""
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


def _unused(found: Detection, methods: Sequence[str]) -> str:
    """Which of the named statistics say nothing of any of the columns, so that others decided."""
    from prodml_magics.stats.drift.statistics import STATISTICS

    kinds = {"numeric" if kind == "text" else kind for kind in found.kind}
    here: list[Literal["numeric", "categorical"]] = [kind for kind in ("numeric", "categorical") if kind in kinds]
    unused = [name for name in methods if name in STATISTICS and not any(STATISTICS[name].applies(kind) for kind in here)]
    if not unused:
        return ""
    return f"no column is of the kind that {' and '.join(unused)} {'is' if len(unused) == 1 else 'are'} for; other statistics decided"


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
    more = f"{len(places) - 2} more column{'s' if len(places) > 3 else ''} drifted" if len(places) > 2 else ""
    return ". ".join([*said, *([more] if more else [])])


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in values.items()}
