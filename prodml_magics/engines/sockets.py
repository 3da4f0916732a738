"""The sockets of the services: bound by the supervisor, inherited by its children, shared with those that they take over from."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from prodml_magics.storage.runtime import lock_holder

__all__ = ["LOOPBACK", "adopted", "bind", "socket_for"]

LOOPBACK = "127.0.0.1"


def socket_for(home: Path, role: str, port: int | None, remembered: int | None, host: str = LOOPBACK) -> socket.socket:
    """The socket of `role`: beside that of a living child, or as `bind` finds one."""
    if lock_holder(home / "run" / f"{role}.lock") is not None and remembered is not None:
        return adopted(remembered, host)
    return bind(port, remembered, host)


def adopted(port: int, host: str = LOOPBACK) -> socket.socket:
    """A socket beside that of a living child, which listens only once that child has to be replaced."""
    listening = _shared(host)
    listening.bind((host, port))
    listening.set_inheritable(True)
    return listening


def bind(port: int | None, remembered: int | None, host: str = LOOPBACK) -> socket.socket:
    """A socket on `host`: on `port` or an error; else on the `remembered` port when it is free, else on a free one."""
    if port is not None:
        return _bound(port, host)
    if remembered is not None:
        with contextlib.suppress(OSError):
            return _bound(remembered, host)
    return _bound(0, host)


def _bound(port: int, host: str) -> socket.socket:
    _refuse_taken(port, host)
    listening = _shared(host)
    try:
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    listening.set_inheritable(True)
    return listening


def _shared(host: str) -> socket.socket:
    """Shared with a child of an earlier supervisor that still listens; nobody but the same user can share it."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return listening


def _refuse_taken(port: int, host: str) -> None:
    """Raise ``OSError`` when somebody else listens: sharing the port with a stranger of the same user would lose requests."""
    if port == 0:
        return
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        if probe.connect_ex((host, port)) == 0:
            raise OSError(f"port {port} is taken")
