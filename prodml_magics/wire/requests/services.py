"""Verbs about the services."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from prodml_magics.wire.requests.base import Request, flag, positional

__all__ = ["Doctor", "Down", "Status", "Token", "Up"]


class Status(Request, frozen=True):
    """What is running and who answers for which model."""


class Up(Request, frozen=True):
    """Start gateway and controller."""

    port: Annotated[
        Annotated[int, Meta(ge=1, le=65_535)] | None,
        flag("port of the gateway (default: a free one, then the same again)", "PORT"),
    ] = None
    workers: Annotated[
        Annotated[int, Meta(ge=1, le=256)] | None,
        flag(
            "processes that answer requests (default: as many as last time, at first one for each GPU, else for two cores)", "N"
        ),
    ] = None
    host: Annotated[
        str,
        flag(
            "address on which programs reach the gateway (default: as last time, at first 127.0.0.1); control routes stay on loopback",
            "ADDRESS",
        ),
    ] = ""
    tls_cert: Annotated[
        str, flag("certificate (PEM) to speak TLS with, over HTTP and gRPC (kept for the next time; none takes it away)", "FILE")
    ] = ""
    tls_key: Annotated[str, flag("its private key (PEM)", "FILE")] = ""
    foreground: Annotated[bool, flag("stay in the foreground, as systemd or a container wants it", doors=("cli",))] = False


class Down(Request, frozen=True):
    """Stop gateway and controller after the requests in flight are answered."""


class Token(Request, frozen=True):
    """Make, renew or revoke a bearer token of the gateway, or list them. Secrets go into files that only you can read, never here."""

    name: Annotated[str, positional("name of the token, such as that of a team (default: list all)", "NAME")] = ""
    scope: Annotated[
        tuple[str, ...],
        flag("what it is for: predict (every model), predict:NAME, admin (control routes)", "SCOPE"),
    ] = ()
    renew: Annotated[bool, flag("make a new secret; the former one counts until --grace is over")] = False
    grace: Annotated[str, flag("how long that is; 0 for not at all", "DURATION")] = "10m"
    revoke: Annotated[bool, flag("take it away, at once")] = False


class Doctor(Request, frozen=True):
    """Check packages, GPU, ports, stores and the home, each with its remedy."""
