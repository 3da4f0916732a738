"""The routes of the panel: each parses, calls the backend off the event loop, and answers JSON."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado.web import authenticated

from prodml_magics.errors import InvalidInput, ProdmlError
from prodml_magics.lab.backend import Backend
from prodml_magics.lab.watch import LedgerWatch
from prodml_magics.wire.requests import Request, Rollback, Timeline

__all__ = ["ROUTES", "PanelHandler"]

R = TypeVar("R", bound=Request)


class PanelHandler(APIHandler):
    """What all routes share: who may call them, and what an error looks like."""

    auth_resource = "prodml"

    def initialize(self, backend: Backend, watch: LedgerWatch) -> None:
        self.backend = backend
        self.watch = watch

    async def answer(self, call: Callable[[], dict[str, Any]]) -> None:
        """Send what `call` returns; it runs in a thread, since stores and services may take their time."""
        try:
            body = await asyncio.get_running_loop().run_in_executor(None, call)
        except ProdmlError as error:
            self._refuse(error.http_status, str(error))
            return
        self.set_header("Cache-Control", "no-store")
        await self.finish(msgspec.json.encode(body))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Errors of the server itself (not authenticated, wrong method, a bug) in the same shape as ours."""
        reason = kwargs.get("exc_info", (None, None, None))[1]
        message = getattr(reason, "log_message", None) or http.HTTPStatus(status_code).phrase
        self._refuse(status_code, message)

    def _refuse(self, status: int, message: str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode({"error": message}))


class StatusHandler(PanelHandler):
    @authenticated
    @authorized
    async def get(self) -> None:
        await self.watch.heard()
        await self.answer(self.backend.status)


class TimelineHandler(PanelHandler):
    @authenticated
    @authorized
    async def get(self) -> None:
        await self.watch.heard()
        # Only what the record knows: JupyterLab adds a number of its own against caches.
        asked = {name: self.get_query_argument(name) for name in Timeline.__struct_fields__ if name in self.request.arguments}
        await self.answer(lambda: self.backend.timeline(_parse(asked, Timeline)))


class UpHandler(PanelHandler):
    @authenticated
    @authorized
    async def post(self) -> None:
        await self.answer(self.backend.up)


class RollbackHandler(PanelHandler):
    @authenticated
    @authorized
    async def post(self) -> None:
        asked = self.get_json_body()
        await self.answer(lambda: self.backend.rollback(_parse(asked, Rollback)))


def _parse(asked: Any, kind: type[R]) -> R:
    """The request record in a body or a query string; texts such as ``limit=50`` become what the record wants."""
    try:
        return msgspec.convert(asked, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{kind.verb()}: {error}") from error


ROUTES: tuple[tuple[str, type[PanelHandler]], ...] = (
    (r"/prodml/api/status", StatusHandler),
    (r"/prodml/api/timeline", TimelineHandler),
    (r"/prodml/api/up", UpHandler),
    (r"/prodml/api/rollback", RollbackHandler),
)
"""Every route, below the server's base URL."""
