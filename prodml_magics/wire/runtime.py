"""``runtime.json``: how to reach what runs for this home (mode 0600, since it holds the admin token)."""

from __future__ import annotations

from datetime import datetime

import msgspec

__all__ = ["RUNTIME_FORMAT", "Runtime", "Service", "Worker"]

RUNTIME_FORMAT = 1


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """One of several processes that share a service's port; `url` is where it alone answers."""

    url: str
    pid: int | None = None
    restarts: int = 0


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One child of the supervisor; `pid` is none while it is down."""

    url: str
    pid: int | None = None
    started_at: datetime | None = None
    restarts: int = 0
    grpc: str | None = None
    """host:port of its gRPC service, where it has one."""
    workers: tuple[Worker, ...] = ()
    """Empty where one process is the service: it is reached by `url` then."""


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor of a home knows; kept after it stops, so that the port stays the same."""

    token: str
    gateway: Service
    controller: Service
    supervisor: int | None = None
    format: int = RUNTIME_FORMAT
