"""The short way past ASGI for the predict routes: a protocol that hands a small, whole request to the core and writes its reply.

Most of what a small prediction costs under ASGI is messages, tasks and headers, not the model. Two things are cut short:

- a plain POST of at most one megabyte to a predict route is taken off uvicorn's parser and answered here;
- a client that keeps its connection sends the same header bytes with every request. Bytes that were parsed once as the whole head of
  an inference request mean the same the next time, so that such a request is taken without parsing.

All else stays with uvicorn: its start and shutdown, other routes, upgrades, chunked bodies, ``Expect``, pipelined requests. This rests
on attributes of uvicorn's protocol that are not public; tests compare both ways byte by byte. What uvicorn lacks is here for both ways:
bounds on connections, heads and slow clients (`patience`), and answers to clients that have closed their own side already.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from prodml_magics.errors import HeadTooLarge, ProdmlError
from prodml_magics.serving.front import INFER, PREDICT
from prodml_magics.serving.limits import Limits
from prodml_magics.serving.patience import Arrival, Patience
from prodml_magics.serving.predict import Known, Predictor

__all__ = ["fast_protocol"]

_LARGEST = 1 << 20
_WAYS = (b"/infer", b"/predict/")
_HEAD_BYTES = 2048
_HEADS = 4096
"""Different heads that are remembered; one that varies from request to request must not fill the memory."""


def fast_protocol(predictor: Predictor, limits: Limits | None = None) -> Any:
    """The protocol class of a server that answers with `predictor`; give it to uvicorn as ``http=``."""
    return partial(_FastProtocol, predictor, _Heads(), Patience(limits or Limits()))


class _Heads:
    """What the connections of one server share: heads that were parsed before, and the beginning of this second's replies."""

    def __init__(self) -> None:
        self.known: dict[bytes, tuple[int, Known, bool]] = {}
        """Content length, meaning and keep-alive by the bytes of the head."""
        self._shared: Any = None
        self._openings: dict[int, bytes] = {}

    def learn(self, head: bytes, length: int, known: Known, keep_alive: bool) -> None:
        if len(self.known) >= _HEADS:
            self.known.clear()
        self.known[head] = (length, known, keep_alive)

    def opening(self, shared: Any, status: int = 200) -> bytes:
        """Status line and headers of a reply up to the content length; `shared` are uvicorn's own headers, anew every second."""
        if shared is not self._shared:
            self._shared = shared
            self._openings.clear()
        found = self._openings.get(status)
        if found is None:
            lines = [STATUS_LINE[status], *(b"%b: %b\r\n" % pair for pair in shared)]
            found = self._openings[status] = b"".join([*lines, b"content-type: application/json\r\ncontent-length: "])
        return found


class _Silent:
    """Stands where uvicorn's cycle keeps the event that wakes an ASGI application."""

    def set(self) -> None:
        """Nobody waits."""


class _FastCycle:
    """The request of a connection on the short way, in the place of uvicorn's cycle; at most one is under way."""

    __slots__ = ("body", "disconnected", "keep_alive", "match", "message_event", "more_body", "response_complete")

    def __init__(self) -> None:
        self.match: Any = None
        self.keep_alive = True
        self.body = bytearray()
        self.more_body = False
        self.disconnected = False
        self.response_complete = True
        self.message_event = _Silent()


class _FastProtocol(HttpToolsProtocol):
    def __init__(self, predictor: Predictor, heads: _Heads, patience: Patience, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._predictor = predictor
        self._heads = heads
        self._patience = patience
        self.arrival = Arrival()
        self._fast = _FastCycle()
        self._open = False
        """Whether uvicorn's parser is in the middle of a message."""
        self._messages = 0
        self._awaited: tuple[bytes, tuple[int, Known, bool]] | None = None
        """A known head whose body has not come yet."""
        self._active = 0.0
        self._ending: str | None = None
        """Why nothing more is read from this client, said when all that came before is answered; empty: it has closed its side."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._active = self.loop.time()
        self._patience.took(self, self.connections)  # type: ignore[arg-type]  # all of them are of this class

    def silent_since(self) -> float | None:
        """Since when the first request is awaited."""
        nothing = self.cycle is None and not self._open and self._awaited is None
        return self._active if nothing else None

    def turn_away(self, error: ProdmlError) -> bool:
        """Answer with `error` and close; False, and nothing done, while an earlier request has yet to be answered."""
        cycle: Any = self.cycle
        answering = cycle is not None and not cycle.response_complete
        if self.pipeline or (answering and (self.arrival.stage != "body" or not cycle.more_body)):
            return False
        self._fast.keep_alive = False
        if answering and cycle is not self._fast:  # its handler counts it when it finds the client gone
            self.reply(error.http_status, [], msgspec.json.encode({"error": str(error)}))
        else:
            self._predictor.refuse(error, self.reply)
        return True

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Answer what came whole to a client that has closed its side, as HTTP allows; then close."""
        if self._ending is not None:
            return True
        cycle = self.pipeline[0][0] if self.pipeline else self.cycle
        if cycle is None or cycle.response_complete or (cycle.more_body and not self.pipeline):
            return None
        if cycle.more_body:
            self._ending = ""
        else:
            cycle.keep_alive = False
        return True

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, after the requests before it: a client would take this for the answer to the first of them."""
        cycle: Any = self.cycle
        if self.pipeline or (cycle is not None and not cycle.response_complete and not cycle.more_body):
            self._ending = msg
            self.flow.pause_reading()
        else:
            super().send_400_response(msg)

    def on_response_complete(self) -> None:
        """Go on with the next request of this connection, or end it where the next one will never be whole."""
        rest = self.pipeline
        if self._ending is None or self.transport.is_closing() or (rest and not rest[-1][0].more_body):
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        rest.clear()
        if self._ending:
            super().send_400_response(self._ending)
        else:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._ending is not None:
            return
        if not self._open and self._free():
            if self._awaited is not None:
                head, (length, known, keep_alive) = self._awaited
                self._awaited = None
                self.arrival.stage = ""
                if len(data) == length:
                    self._take(known, keep_alive, data)
                    return
                data = head + data
            else:
                end = data.find(b"\r\n\r\n") + 4
                found = self._heads.known.get(data[:end]) if end > 3 else None
                if found is not None:
                    if len(data) == end + found[0]:
                        self._take(found[1], found[2], data[end:])
                        return
                    if len(data) == end:
                        self._awaited, self._active = (data, found), self.loop.time()
                        self.arrival.enter("body", self._active)
                        return
        self._parse(data)

    def _free(self) -> bool:
        """Whether nothing is under way on this connection, and the client reads its answers."""
        cycle = self.cycle
        return (
            (cycle is None or cycle.response_complete)
            and not self.pipeline
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )

    def _take(self, known: Known, keep_alive: bool, body: bytes) -> None:
        fast = self._fast
        fast.keep_alive = keep_alive
        fast.response_complete = False
        self.cycle = fast  # type: ignore[assignment]
        turns = self._predictor.turns
        turns.lone = len(self.connections) == 1
        self._predictor.infer_known(known, body, self)
        turns.lone = False

    def _parse(self, data: bytes) -> None:
        """Let uvicorn's parser have `data`, and remember the head where it was one whole request on the short way."""
        whole, before = not self._open, self._messages
        super().data_received(data)
        if self._open:
            try:
                self._patience.received(self.arrival, len(data))
            except HeadTooLarge as error:
                if not self.turn_away(error):
                    self.transport.close()
        fast = self._fast
        if not whole or self._open or self._messages != before + 1 or fast.match is None:
            return
        match, fast.match = fast.match, None
        end = data.find(b"\r\n\r\n") + 4
        if match.re is INFER and end <= _HEAD_BYTES and len(data) == end + len(fast.body):
            known = self._predictor.known(match["model"], match["version"], self.headers)
            if known is not None:
                self._heads.learn(data[:end], len(fast.body), known, fast.keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fast.disconnected = True
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._open = True
        self.arrival.enter("head", self.loop.time())
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.arrival.enter("body", self.loop.time())
        match = self._short_way()
        if match is None:
            self._fast.match = None
            super().on_headers_complete()
            return
        fast = self._fast
        fast.match, fast.keep_alive = match, self.parser.should_keep_alive()
        fast.body = bytearray()
        fast.more_body, fast.response_complete = True, False
        self.cycle = fast  # type: ignore[assignment]

    def _short_way(self) -> Any:
        """The matched route when this request may go the short way."""
        url = self.url
        if not (url.endswith(_WAYS[0]) or url.startswith(_WAYS[1])) or b"?" in url or b"%" in url:
            return None
        if self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1" or self.parser.should_upgrade():
            return None
        if self.expect_100_continue or not self._free():  # a client that does not read its answers: uvicorn waits for it
            return None
        length = next((value for name, value in self.headers if name == b"content-length"), b"")
        if not length.isdigit() or len(length) > 7 or int(length) > _LARGEST or not url.isascii():
            return None
        path = url.decode()
        return INFER.match(path) or PREDICT.match(path)

    def on_body(self, body: bytes) -> None:
        cycle: Any = self.cycle
        if cycle is self._fast and cycle.more_body:
            cycle.body += body  # bounded by the length that the headers declared
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._open = False
        self.arrival.stage = ""
        self._messages += 1
        cycle: Any = self.cycle
        if cycle is not self._fast or not cycle.more_body:
            super().on_message_complete()
            return
        cycle.more_body = False
        match = cycle.match
        if match.re is INFER:
            self._predictor.infer(match["model"], match["version"], dict(self.headers), bytes(cycle.body), self.reply)
        else:
            self._predictor.predict(match["model"], dict(self.headers), bytes(cycle.body), self.reply)

    def answer(self, request_id: str, body: bytes) -> None:
        """Reply 200 to the request on the short way."""
        fast = self._fast
        if fast.disconnected:
            return
        opening = self._heads.opening(self.server_state.default_headers)
        last = b"" if fast.keep_alive else b"connection: close\r\n"
        self.transport.write(b"%b%d\r\nx-request-id: %b\r\n%b\r\n%b" % (opening, len(body), request_id.encode(), last, body))
        self._completed(fast)

    def reply(self, status: int, extra: list[tuple[bytes, bytes]], payload: bytes) -> None:
        """Reply to the request on the short way."""
        fast = self._fast
        if fast.disconnected:
            return
        lines = [b"%b%d\r\n" % (self._heads.opening(self.server_state.default_headers, status), len(payload))]
        lines += [b"%b: %b\r\n" % pair for pair in extra]
        lines.append(b"\r\n" if fast.keep_alive else b"connection: close\r\n\r\n")
        lines.append(payload)
        self.transport.write(b"".join(lines))
        self._completed(fast)

    def _completed(self, fast: _FastCycle) -> None:
        fast.response_complete = True
        if not fast.keep_alive:
            self.transport.close()
        self._active = self.loop.time()
        if self.pipeline or self.flow.read_paused or self.timeout_keep_alive_task is None or self._ending is not None:
            self.on_response_complete()
        else:
            self.server_state.total_requests += 1

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that is idle for long enough; one timer looks now and then, instead of one for every request."""
        self.timeout_keep_alive_task = None
        if not self._free() or self._awaited is not None:
            return  # the next answer sets the timer again
        left = self._active + self.timeout_keep_alive - self.loop.time()
        if left <= 0:
            super().timeout_keep_alive_handler()
        else:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
