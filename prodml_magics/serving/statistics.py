"""The statistics extension: what a version has answered since the worker started, and where the time went.

Source: the statistics extension that Triton documents for the Open Inference Protocol v2. Durations are nanoseconds, summed over
requests; a run that answered several requests counts for each of them. ``queue`` is all that is not the run: waiting, reading the
request log's disk, writing the answer down. Reading and writing tensors is not measured apart, so that ``compute_input`` and
``compute_output`` are 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from prodml_magics.serving.metrics import LaneCounts

__all__ = ["version_statistics"]


def version_statistics(model: str, version: int, arms: Mapping[str, LaneCounts]) -> dict[str, Any]:
    """One entry of ``model_stats``, from the counts of every arm that the version had.

    What came from the prediction cache is a success and a cache hit; it was no inference, no execution, and waited for nothing.
    """
    kept = arms.get("cache", LaneCounts())
    ran = [counts for arm, counts in arms.items() if arm != "cache"]
    statuses = sum((counts.requests for counts in ran), Counter[int]())
    answered = statuses.pop(200, 0)
    failed_seconds = sum(counts.failed_seconds for counts in ran)
    seconds = sum(counts.seconds for counts in ran) - failed_seconds
    running = sum(counts.shared_seconds for counts in ran)
    sizes = _sizes(ran)
    hits = _duration(kept.requests[200], kept.seconds)
    return {
        "name": model,
        "version": str(version),
        "last_inference": int(max((counts.last for counts in arms.values()), default=0.0) * 1e3),
        "inference_count": sum(counts.run_rows for counts in ran),
        "execution_count": int(sum(runs for runs, _ in sizes.values())),
        "inference_stats": {
            "success": _duration(answered + kept.requests[200], seconds + kept.seconds),
            "fail": _duration(statuses.total(), failed_seconds),
            "queue": _duration(answered, max(seconds - running, 0.0)),
            "compute_input": _duration(answered, 0.0),
            "compute_infer": _duration(answered, running),
            "compute_output": _duration(answered, 0.0),
            "cache_hit": hits,
            "cache_miss": _duration(answered, seconds) if "cache" in arms else _duration(0, 0.0),
        },
        "batch_stats": [_batch(rows, *sizes[rows]) for rows in sorted(sizes) if rows],
    }


def _sizes(arms: Sequence[LaneCounts]) -> dict[int, tuple[int, float]]:
    found: dict[int, tuple[int, float]] = {}
    for counts in arms:
        for rows, (runs, seconds) in counts.sizes.items():
            before = found.get(rows, (0, 0.0))
            found[rows] = (before[0] + int(runs), before[1] + seconds)
    return found


def _batch(rows: int, runs: int, seconds: float) -> dict[str, Any]:
    return {
        "batch_size": rows,
        "compute_input": _duration(runs, 0.0),
        "compute_infer": _duration(runs, seconds),
        "compute_output": _duration(runs, 0.0),
    }


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": int(seconds * 1e9)}
