"""The short way past ASGI for the predict routes: a protocol that hands a small, whole request to the core and writes its reply.

Most of what a small prediction costs under ASGI is messages and tasks, not the model. Everything that is not a plain POST of at most
one megabyte to a predict route stays with uvicorn: its start and shutdown, keep-alive timers, other routes, upgrades, chunked bodies,
``Expect``, pipelined requests. It rests on attributes of uvicorn's protocol that are not public; tests compare both ways byte by byte.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from prodml_magics.serving.front import INFER, PREDICT
from prodml_magics.serving.predict import Predictor

__all__ = ["fast_protocol"]

_LARGEST = 1 << 20
_WAYS = (b"/infer", b"/predict/")


def fast_protocol(predictor: Predictor) -> Any:
    """The protocol class of a server that answers with `predictor`; give it to uvicorn as ``http=``."""
    return partial(_FastProtocol, predictor)


class _Silent:
    """Stands where uvicorn's cycle keeps the event that wakes an ASGI application."""

    def set(self) -> None:
        """Nobody waits."""


class _FastCycle:
    """One request on the short way, in the place of uvicorn's cycle."""

    __slots__ = ("body", "disconnected", "keep_alive", "match", "message_event", "more_body", "response_complete")

    def __init__(self, match: Any, keep_alive: bool) -> None:
        self.match = match
        self.keep_alive = keep_alive
        self.body = bytearray()
        self.more_body = True
        self.disconnected = False
        self.response_complete = False
        self.message_event = _Silent()


class _FastProtocol(HttpToolsProtocol):
    def __init__(self, predictor: Predictor, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._predictor = predictor

    def on_headers_complete(self) -> None:
        match = self._short_way()
        if match is None:
            super().on_headers_complete()
        else:
            self.cycle = _FastCycle(match, self.parser.should_keep_alive())  # type: ignore[assignment]

    def _short_way(self) -> Any:
        """The matched route when this request may go the short way."""
        url = self.url
        if not (url.endswith(_WAYS[0]) or url.startswith(_WAYS[1])) or b"?" in url or b"%" in url:
            return None
        if self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1" or self.parser.should_upgrade():
            return None
        if self.flow.write_paused:  # a client that does not read its answers: uvicorn waits for it
            return None
        if self.expect_100_continue or (self.cycle is not None and not self.cycle.response_complete) or self.pipeline:
            return None
        length = next((value for name, value in self.headers if name == b"content-length"), b"")
        if not length.isdigit() or len(length) > 7 or int(length) > _LARGEST or not url.isascii():
            return None
        path = url.decode()
        return INFER.match(path) or PREDICT.match(path)

    def on_body(self, body: bytes) -> None:
        cycle: Any = self.cycle
        if type(cycle) is _FastCycle and cycle.more_body:
            cycle.body += body  # bounded by the length that the headers declared
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        cycle: Any = self.cycle
        if type(cycle) is not _FastCycle or not cycle.more_body:
            super().on_message_complete()
            return
        cycle.more_body = False
        match = cycle.match
        reply = partial(self._reply, cycle)
        if match.re is INFER:
            self._predictor.infer(match["model"], match["version"], dict(self.headers), bytes(cycle.body), reply)
        else:
            self._predictor.predict(match["model"], dict(self.headers), bytes(cycle.body), reply)

    def _reply(self, cycle: _FastCycle, status: int, extra: list[tuple[bytes, bytes]], payload: bytes) -> None:
        if cycle.disconnected:
            return
        lines = [STATUS_LINE[status]]
        lines += [b"%b: %b\r\n" % pair for pair in self.server_state.default_headers]
        lines.append(b"content-type: application/json\r\ncontent-length: %d\r\n" % len(payload))
        lines += [b"%b: %b\r\n" % pair for pair in extra]
        lines.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        lines.append(payload)
        self.transport.write(b"".join(lines))
        cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()
