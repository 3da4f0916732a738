"""Messages over a local socket: four bytes of length, then MessagePack."""

from __future__ import annotations

import socket
import struct

__all__ = ["receive", "send"]

_LENGTH = struct.Struct("<Q")


def send(link: socket.socket, message: bytes) -> None:
    """Send one message whole; raises ``OSError`` when the other side is gone and ``TimeoutError`` at the socket's own limit."""
    link.sendall(_LENGTH.pack(len(message)))
    link.sendall(message)


def receive(link: socket.socket) -> bytearray | None:
    """The next message, or None when the other side has closed between two messages or in one."""
    head = _exactly(link, _LENGTH.size)
    return None if head is None else _exactly(link, _LENGTH.unpack(head)[0])


def _exactly(link: socket.socket, size: int) -> bytearray | None:
    data = bytearray(size)
    view, got = memoryview(data), 0
    while got < size:
        read = link.recv_into(view[got:])
        if not read:
            return None
        got += read
    return data
