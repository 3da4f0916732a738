"""What actions say to the gateway's ``/admin`` and to the controller, and what they answer."""

from __future__ import annotations

from datetime import datetime

import msgspec

from prodml_magics.wire.routes import VersionFiles
from prodml_magics.wire.status import Traffic

__all__ = ["Drained", "GatewayReport", "LoadVersion", "Loaded", "ModelReport", "Synced"]


class LoadVersion(msgspec.Struct, frozen=True):
    """POST /admin/load: hold this version in memory, warm, its answers checked against the registered samples."""

    model: str
    files: VersionFiles


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of POST /admin/load."""

    model: str
    version: int
    device: str
    long_seconds: float | None = None
    """What a run on the worker's processor takes, where that is longer than its event loop waits for one; None for any other."""


class Synced(msgspec.Struct, frozen=True):
    """Answer of POST /admin/sync: the routes of the ledger up to event `last_id` are in force."""

    last_id: int
    problems: dict[str, str]
    """Per model, why its route could not be followed."""


class ModelReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one gateway process holds and has counted for one model."""

    name: str
    revision: int
    live: int | None
    loaded: tuple[int, ...]
    traffic: Traffic
    problem: str | None = None
    crashed: tuple[int, ...] = ()
    """Versions that were running when the process before this one died by a native crash."""
    device: str | None = None
    """Where the live version runs, ``cpu`` or ``gpu``; null where none does."""


class GatewayReport(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of GET /admin/status."""

    pid: int
    started_at: datetime
    last_id: int
    device: str
    models: tuple[ModelReport, ...]
    pids: tuple[int, ...] = ()
    """Of all workers, where the report is of several together."""


class Drained(msgspec.Struct, frozen=True):
    """Answer of the controller's POST /drain and GET /status: every row answered before `until` is in the lake."""

    until: datetime | None
    rows: int
    problems: dict[str, str]
    pid: int
