"""What ``prodml status --json``, the Lab panel and ``status().to_dict()`` show."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from prodml_magics.wire.routes import ShadowRoute

__all__ = ["ControllerStatus", "GatewayStatus", "ModelStatus", "StatusReport", "TimelineEntry", "Traffic"]

State = Literal["up", "down"]


class GatewayStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The process that answers predictions."""

    state: State
    url: str | None = None
    grpc: str | None = None
    """host:port of the gRPC service, or null where none is offered."""
    pids: tuple[int, ...] = ()
    started_at: datetime | None = None


class ControllerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The process that drains the request log and repairs aliases."""

    state: State
    pid: int | None = None
    drained_at: datetime | None = None
    """Every row answered before this moment is in the lake."""


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway counted for one model since it started."""

    requests: int = 0
    rows: int = 0
    errors: int = 0
    requests_per_second: float = 0.0
    """Over the last 60 seconds."""
    refused_per_second: float = 0.0
    """Over the last 10 seconds: answered with 503, since the version keeps failing and nothing stands in for it."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    """Latency of recent requests, from the last byte read to the reply handed over."""
    shadow_rows: int = 0
    shadow_dropped: int = 0
    shadow_errors: int = 0
    sampled_out: int = 0
    """Rows that were answered and not logged, as the log sample has it."""
    unlogged: int = 0
    """Rows that were answered though the request log could not be written."""


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One model: which version is live, and how it fares."""

    name: str
    live: int | None = None
    previous: int | None = None
    canary: int | None = None
    canary_share: float | None = None
    """Share of the live traffic that the canary answers, in (0, 1)."""
    rollout: str | None = None
    """Where the running rollout stands: ``running``, ``paused``, ``held`` or ``baking``; null when there is none."""
    shadows: tuple[ShadowRoute, ...] = ()
    revision: int = 0
    url: str | None = None
    versions: tuple[int, ...] = ()
    """Versions that the ledger has seen, in order."""
    updated_at: datetime | None = None
    traffic: Traffic | None = None
    """Null while the gateway is down."""
    problem: str | None = None
    """Why the gateway could not follow the route, when it could not."""
    device: str | None = None
    """Where the live version runs, ``cpu`` or ``gpu``; null while the gateway is down."""


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one moment; it can be had even when nothing runs."""

    home: str
    gateway: GatewayStatus
    controller: ControllerStatus
    models: tuple[ModelStatus, ...] = ()


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the ledger as people read it."""

    id: int
    at: datetime
    actor: str
    model: str
    kind: str
    summary: str
    """One phrase, such as ``version 2 live, version 1 kept as previous``."""
    live: int | None = None
    canary: int | None = None
    share: float | None = None
    """The canary's share of the traffic after the entry."""
    tier: str | None = None
    """Of the alert that it is: ``immediate``, ``daily``; null when it is none."""
    cause: str = ""
    cell: str = ""
    """The notebook cell that it was decided from, as ``train.ipynb [12]``; empty where there was none."""
    source: str = ""
    """What stood in that cell."""
    evidence: str = ""
    """What the guards said at that moment, as ``error_rate worse (e 154)``; empty where none was asked."""
    can_undo: bool = False
