"""What a worker has counted, as records that another worker of the gateway adds to its own."""

from __future__ import annotations

import msgspec

__all__ = ["CacheTotals", "Counts", "LaneTotals"]


class LaneTotals(msgspec.Struct, frozen=True):
    """The counts of one model, version and arm; see `metrics.LaneCounts`."""

    model: str
    version: str
    arm: str
    requests: dict[int, int]
    rows: int
    seconds: float
    buckets: list[int]
    failed_seconds: float
    run_rows: int
    shared_seconds: float
    sizes: dict[int, tuple[int, float]]
    last: float


class CacheTotals(msgspec.Struct):
    """The counts of one prediction cache; see `cache.PredictionCache`."""

    hits: int = 0
    misses: int = 0
    evicted: int = 0
    saved_seconds: float = 0.0
    bytes: int = 0


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is summed over workers, and of which the worst counts."""

    lanes: list[LaneTotals]
    refused: dict[int, int]
    shadow_rows: list[tuple[str, str, int]]
    shadow_dropped: list[tuple[str, str, int]]
    unlogged: list[tuple[str, str, str, str, int]]
    """Model, version, arm, reason; rows."""
    caches: dict[str, CacheTotals]
    breakers: list[tuple[str, str, float]]
    """Model, version; 1 while it is open, 0.5 while half-open."""
