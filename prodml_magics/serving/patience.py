"""How long a client may take, and how many may be there: nobody holds a connection for longer than its request deserves.

One timer per server looks at all connections once a second, so that a request costs nothing here. It ends heads and bodies that
trickle in ("slowloris"), connections that never say anything, and those whose client does not read its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, Protocol

from prodml_magics.errors import HeadTooLarge, ProdmlError, TooSlow, Unavailable
from prodml_magics.serving.limits import Limits

__all__ = ["Arrival", "Patience", "Watched"]


class Watched(Protocol):
    """A connection, as far as it is watched."""

    arrival: Arrival
    transport: Any

    def silent_since(self) -> float | None:
        """Since when the client owes its first request; none when it does not."""
        ...

    def turn_away(self, error: ProdmlError) -> bool:
        """Answer with `error` and close; False, and nothing done, while an earlier request has yet to be answered."""
        ...


class Arrival:
    """How far the request that a connection is receiving has come; times are of the event loop."""

    __slots__ = ("began", "read", "stage", "unread", "unread_since")

    def __init__(self) -> None:
        self.stage = ""
        """``head`` or ``body`` while one is coming in, else empty."""
        self.began = 0.0
        self.read = 0
        self.unread = 0
        """Bytes of the answer that the client had not read when last looked at …"""
        self.unread_since = 0.0
        """… and since when it has not read any of them."""

    def enter(self, stage: str, now: float) -> None:
        """A head or a body begins at `now`; empty where nothing more is expected."""
        self.stage, self.began, self.read = stage, now, 0


class Patience:
    """Watches the connections of one server for as long as there are any."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._connections: Collection[Watched] = ()
        self._watching = False

    def took(self, connection: Watched, connections: Collection[Watched]) -> None:
        """A new connection, one of all `connections` of the server."""
        self._connections = connections
        if len(connections) > self.limits.connections:
            most = f"{self.limits.connections} connections are open, as many as may be"
            connection.turn_away(Unavailable(f"{most}; keep connections and use them again"))
        if not self._watching:
            self._watching = True
            asyncio.get_running_loop().call_later(self.limits.look_seconds, self._look)

    def received(self, arrival: Arrival, size: int) -> None:
        """Take `size` more bytes of a head or a body; raises `HeadTooLarge`."""
        arrival.read += size
        if arrival.stage == "head" and arrival.read > self.limits.head_bytes:
            raise HeadTooLarge(f"the head of the request is larger than {self.limits.head_bytes >> 10} KiB; send fewer headers")

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self._connections):
            self.look(connection, now)
        self._watching = bool(self._connections)
        if self._watching:
            loop.call_later(self.limits.look_seconds, self._look)

    def look(self, connection: Watched, now: float) -> None:
        """End `connection` where its client has taken too long at `now`."""
        if self._does_not_read(connection, now):
            connection.transport.abort()
            return
        if connection.transport.is_closing():
            return
        silent = connection.silent_since()
        if silent is not None and now - silent > self.limits.head_seconds:
            connection.transport.close()
            return
        arrival = connection.arrival
        if arrival.stage and now - arrival.began > self._allowed(arrival):
            connection.turn_away(TooSlow(f"the {arrival.stage} of the request did not come in time; send it faster"))

    def _allowed(self, arrival: Arrival) -> float:
        if arrival.stage == "head":
            return self.limits.head_seconds
        return self.limits.body_seconds + arrival.read / self.limits.body_rate

    def _does_not_read(self, connection: Watched, now: float) -> bool:
        arrival, waiting = connection.arrival, connection.transport.get_write_buffer_size()
        if not waiting or not arrival.unread or waiting < arrival.unread:
            arrival.unread, arrival.unread_since = waiting, now
        return bool(waiting) and now - arrival.unread_since > self.limits.unread_seconds
