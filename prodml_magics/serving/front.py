"""The predict routes as bare ASGI; everything else goes on to the inner application."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from prodml_magics.errors import InvalidInput, ProdmlError, TooLarge
from prodml_magics.serving.limits import Limits
from prodml_magics.serving.predict import Predictor
from prodml_magics.serving.replies import Reply

__all__ = ["INFER", "PREDICT", "Front", "matched"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

INFER = re.compile(r"/v2/models/(?P<model>[^/]{1,300})(?:/versions/(?P<version>[^/]{1,20}))?/infer\Z")
PREDICT = re.compile(r"/predict/(?P<model>[^/]{1,300})\Z")
INVOKE = re.compile(r"(?:/models/(?P<model>[^/]{1,300}))?/invocations\Z")
_Reply = tuple[int, list[tuple[bytes, bytes]], bytes]


class Front:
    """ASGI application: the predict routes here, all others in `inner`."""

    def __init__(self, predictor: Predictor, limits: Limits, inner: App) -> None:
        self._predictor = predictor
        self._limits = limits
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match = matched(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if match is None:
            await self._inner(scope, receive, send)
            return
        waiting: asyncio.Future[_Reply] = asyncio.get_running_loop().create_future()

        def reply(status: int, extra: list[tuple[bytes, bytes]], payload: bytes) -> None:
            if not waiting.done():
                waiting.set_result((status, extra, payload))

        headers = dict(scope["headers"])
        try:
            body = await self._body(receive, headers)
        except ProdmlError as error:
            self._predictor.refuse(error, reply)
        else:
            self._begin(match, headers, body, reply)
        status, extra, payload = await waiting
        framing = [(b"content-type", b"application/json"), (b"content-length", str(len(payload)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": [*framing, *extra]})
        await send({"type": "http.response.body", "body": payload})

    def _begin(self, match: re.Match[str], headers: dict[bytes, bytes], body: bytes, reply: Reply) -> None:
        if match.re is INFER:
            self._predictor.infer(match["model"], match["version"], headers, body, reply)
        elif match.re is PREDICT:
            self._predictor.predict(match["model"], headers, body, reply)
        else:
            self._predictor.invoke(match["model"], headers, body, reply)

    async def _body(self, receive: Receive, headers: dict[bytes, bytes]) -> bytes:
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:20]) > self._limits.body_bytes:
            raise self._too_large()
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise InvalidInput("the client went away before its request was whole")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._limits.body_bytes:
                raise self._too_large()
            chunks.append(chunk)
            if not message.get("more_body"):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the body is larger than {self._limits.body_bytes >> 20} MiB; send fewer rows in one request")


def matched(path: str) -> re.Match[str] | None:
    """The predict route that `path` is."""
    # ASGI hands over the path decoded; a name is taken as it stands there, and no real name holds a percent sign.
    return INFER.match(path) or PREDICT.match(path) or INVOKE.match(path)
