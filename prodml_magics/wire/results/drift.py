"""What has drifted, and since when."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from prodml_magics.wire.results.window import Window

__all__ = ["AlarmRecord", "DriftRecord", "OnsetRecord", "WatchRecord"]


class OnsetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """When a column began to move within the window, and between which moments that was."""

    column: str
    at: datetime
    earliest: datetime
    latest: datetime


class AlarmRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm of a watch for ever."""

    at: datetime
    began: datetime
    """With which hour the evidence begins."""
    columns: tuple[str, ...]
    """Strongest first."""
    reason: str


class WatchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How a watch for ever stands."""

    state: Literal["learning", "watching"]
    days_left: int
    """Until hours are judged, while it learns; days are judged meanwhile."""
    since: datetime | None
    """Where the served hours begin."""
    judged_from: datetime | None
    """From which hour on the first series is judged by the hour."""
    hours: int
    evidence: float
    """Of what raises an alarm, in [0, 1]."""
    average_days: float
    """Between two false alarms, at the least."""
    alarms: tuple[AlarmRecord, ...] = ()


class DriftRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Verdict per column."""

    model: str | None
    version: int | None
    verdict: Literal["drift", "no drift", "undecided"]
    drifted: tuple[str, ...]
    outputs: tuple[str, ...]
    """Which of the columns are answers of the model; all others are its inputs."""
    columns: list[dict[str, Any]]
    window: Window
    device: str
    seconds: float
    against: str = "the reference"
    """What was compared with."""
    summary: str = ""
    """Why, in a sentence or two."""
    dataset: dict[str, Any] = {}
    """All columns together, weighted by importance: verdict, share, possible, weighted."""
    joint: list[dict[str, Any]] = []
    """Findings of statistics of all numeric columns at once, where some were asked for."""
    calibration: dict[str, Any] = {}
    """Whether a classifier's scores came true, from the labels that have come for the window; empty without them."""
    slices: list[dict[str, Any]] = []
    """Parts of the rows, worst first: all of --by, else those that were found in which a column moved more than over all rows."""
    onsets: tuple[OnsetRecord, ...] = ()
    """Of drifted numeric inputs of a model that began to move within the window or, where sketches are kept, the 30 days before."""
    seen_until: datetime | None = None
    """Rows answered after this moment were not seen; null when all were."""
    watch: WatchRecord | None = None
    """With --sequential."""
    source: Literal["rows", "sketches"] = "rows"
    """What the window was read from."""
    rows_read: int = 0
    """Of a window read from sketches: rows of the lake that had to be read because its ends cut a bucket."""
    note: str = ""
