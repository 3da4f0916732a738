"""Two versions on the same rows, and what is known of labels."""

from __future__ import annotations

from datetime import datetime

import msgspec

from prodml_magics.wire.results.window import Window
from prodml_magics.wire.rollouts import PairedVerdict

__all__ = ["LabelsRecord", "ReplayRecord", "ShadowComparison", "ShadowRecord"]


class ShadowComparison(msgspec.Struct, frozen=True, kw_only=True):
    """One shadow beside the live version, on the same rows."""

    model: str
    live: int
    shadow: int
    pairs: int
    """Rows that both have answered."""
    agreement: float | None
    """Share of pairs with the same label; null for regressors."""
    mean_difference: float | None
    """Mean of shadow minus live, of the probability of the second class or of the prediction."""
    max_difference: float | None
    live_errors: int = 0
    shadow_errors: int = 0
    live_run_ms: float | None = None
    """Median time of the model run that a row was in."""
    shadow_run_ms: float | None = None
    dropped: int = 0
    verdict: PairedVerdict | None = None
    """What the pairs have shown; null without any."""


class ShadowRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the shadows of a model would have answered."""

    model: str
    comparisons: tuple[ShadowComparison, ...]
    seen_until: datetime | None = None


class ReplayRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Recorded requests, answered anew by a candidate."""

    model: str
    comparison: ShadowComparison
    window: Window
    skipped: int
    """Recorded rows that could not be replayed, since a value that the candidate needs was not recorded."""
    seconds: float
    run_seconds: float
    """Of these, in the model."""
    rows_per_second: float
    device: str
    seen_until: datetime | None = None


class LabelsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Labels that were taken, or how many rows have one."""

    model: str
    taken: int
    """Labels in the frame; 0 when none was given."""
    matched: int = 0
    """Of these, labels of rows that are in the lake."""
    unknown: int = 0
    """Labels whose request and row the lake does not know (yet)."""
    ambiguous: int = 0
    """Labels whose request id several requests bear: they go to the newest that had come by then."""
    corrected: int = 0
    """Labels that take the place of an earlier one."""
    served: int | None = None
    """Rows that were answered; null when a frame was given."""
    labelled: int | None = None
    """Of these, rows with a label."""
    warnings: tuple[str, ...] = ()
