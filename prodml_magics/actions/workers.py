"""The reports of several gateway workers as one."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from prodml_magics.wire.admin import GatewayReport, ModelReport, Synced
from prodml_magics.wire.status import Traffic

__all__ = ["merged_reports", "merged_syncs"]


def merged_reports(reports: Sequence[GatewayReport]) -> GatewayReport:
    """Counts added up; `last_id` is what all of them have followed. One report stays as it is."""
    first = reports[0]
    if len(reports) == 1:
        return first
    names = dict.fromkeys(model.name for report in reports for model in report.models)
    models = tuple(_model([m for report in reports for m in report.models if m.name == name]) for name in names)
    return replace(
        first,
        started_at=min(report.started_at for report in reports),
        last_id=min(report.last_id for report in reports),
        models=models,
        pids=tuple(report.pid for report in reports),
    )


def merged_syncs(syncs: Sequence[Synced]) -> Synced:
    """What every worker has followed, and what any of them could not."""
    problems = {name: problem for sync in reversed(syncs) for name, problem in sync.problems.items()}
    return Synced(last_id=min(sync.last_id for sync in syncs), problems=problems)


def _model(parts: Sequence[ModelReport]) -> ModelReport:
    newest = max(parts, key=lambda part: part.revision)
    loaded = tuple(sorted(set.intersection(*(set(part.loaded) for part in parts))))
    return replace(
        newest,
        loaded=loaded,
        traffic=_traffic([part.traffic for part in parts]),
        problem=next((part.problem for part in parts if part.problem), None),
        crashed=tuple(sorted({version for part in parts for version in part.crashed})),
    )


def _traffic(parts: Sequence[Traffic]) -> Traffic:
    """Counts add up; the median is weighted by requests, and the 99th percentile is the worst worker's, an upper bound."""
    heard = [part for part in parts if part.p50_ms is not None and part.p99_ms is not None]
    total = sum(part.requests for part in heard)
    median = sum((part.p50_ms or 0.0) * part.requests for part in heard) / total if total else None
    return Traffic(
        requests=sum(part.requests for part in parts),
        rows=sum(part.rows for part in parts),
        errors=sum(part.errors for part in parts),
        requests_per_second=round(sum(part.requests_per_second for part in parts), 3),
        refused_per_second=round(sum(part.refused_per_second for part in parts), 3),
        p50_ms=None if median is None else round(median, 3),
        p99_ms=max((part.p99_ms or 0.0 for part in heard), default=None),
        shadow_rows=sum(part.shadow_rows for part in parts),
        shadow_dropped=sum(part.shadow_dropped for part in parts),
        shadow_errors=sum(part.shadow_errors for part in parts),
        sampled_out=sum(part.sampled_out for part in parts),
        unlogged=sum(part.unlogged for part in parts),
    )
