"""The controller's loopback API: how far it is, and drain now."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from prodml_magics.actions.drain import Draining
from prodml_magics.errors import ProdmlError
from prodml_magics.wire.admin import Drained

__all__ = ["build_app"]

Handler = Callable[[Request], Awaitable[Response]]


class Troubled(Protocol):
    """Whatever works per model and may fail at it."""

    problems: dict[str, str]


def build_app(draining: Draining, others: Sequence[Troubled], token: str) -> Starlette:
    """GET /status and POST /drain, both behind the bearer token."""
    expected = b"Bearer " + token.encode()

    def guarded(handler: Handler) -> Handler:
        async def check(request: Request) -> Response:
            if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected):
                return _json({"error": "the controller needs the bearer token of runtime.json"}, 401)
            try:
                return await handler(request)
            except ProdmlError as error:
                return _json({"error": str(error)}, error.http_status)

        return check

    def whole(report: Drained) -> Response:
        problems = dict(report.problems)
        for other in others:
            problems |= other.problems
        return _json(replace(report, problems=problems))

    async def status(_request: Request) -> Response:
        return whole(draining.report())

    async def drain(_request: Request) -> Response:
        return whole(await asyncio.to_thread(draining.drain))

    return Starlette(routes=[Route("/status", guarded(status)), Route("/drain", guarded(drain), methods=["POST"])])


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
