"""``runtime.json``: how to reach what runs for this home (mode 0600, since it holds the admin token)."""

from __future__ import annotations

from datetime import datetime

import msgspec

__all__ = ["RUNTIME_FORMAT", "Listen", "Runtime", "Service", "Worker"]

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
    """Empty where one process is the service and `url` is plain HTTP on loopback: it is reached by that then."""


class Listen(msgspec.Struct, frozen=True, kw_only=True):
    """On which address the gateway answers programs, and with which certificate."""

    host: str = "127.0.0.1"
    certificate: str = ""
    """PEM file; empty where it speaks plain HTTP."""
    key: str = ""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in ("127.0.0.1", "localhost", "::1")

    @property
    def plain(self) -> bool:
        """Whether it is as it is when nobody says anything."""
        return self == Listen()

    def url(self, port: int) -> str:
        """Where to reach it from this machine."""
        host = "127.0.0.1" if self.host == "0.0.0.0" else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{port}"


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor of a home knows; kept after it stops, so that the port stays the same."""

    token: str
    gateway: Service
    controller: Service
    supervisor: int | None = None
    listen: Listen = Listen()
    format: int = RUNTIME_FORMAT
