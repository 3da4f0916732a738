"""The gateway's routes beside prediction: metadata, health, metrics, and ``/admin`` for actions; assembled in one place."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as HttpRoute

from prodml_magics.errors import InvalidInput, ProdmlError, TooLarge
from prodml_magics.serving.access import Access
from prodml_magics.serving.catalog import Catalog
from prodml_magics.serving.follow import Follower
from prodml_magics.serving.front import matched
from prodml_magics.serving.metadata import server_metadata
from prodml_magics.serving.metrics import Metrics
from prodml_magics.serving.router import Router
from prodml_magics.serving.siblings import Siblings
from prodml_magics.wire.admin import GatewayReport, Loaded, LoadVersion, Synced

__all__ = ["Control"]

_ADMINISTERED = ("/admin/", "/v2/repository/models/")
_MAX_ADMIN_BODY = 1 << 20
Handler = Callable[[Request], Awaitable[Response]]
Body = TypeVar("Body", bound=msgspec.Struct)


class Control:
    """Handlers of everything that is not a prediction."""

    def __init__(
        self, router: Router, follower: Follower, metrics: Metrics, access: Access, device: str, siblings: Siblings | None = None
    ) -> None:
        self._router = router
        self._follower = follower
        self._metrics = metrics
        self._access = access
        self._device = device
        self._started_at = datetime.now(UTC)
        self.catalog = Catalog(router, follower, metrics, siblings)

    def app(self, *, administered: bool = True) -> Starlette:
        """The Starlette application with every route, in order; without those that change or tell of the process where not asked."""
        model = "/v2/models/{model}"
        pinned = model + "/versions/{version}"
        routes = [
            HttpRoute("/v2", self.server),
            HttpRoute("/v2/", self.server),
            HttpRoute("/v2/openapi.json", self.openapi),
            HttpRoute("/v2/health/live", self.live),
            HttpRoute("/v2/health/ready", self.health_ready),
            HttpRoute("/v2/models/stats", self._asked(self.statistics)),
            HttpRoute("/ping", self.health_ready),
            HttpRoute("/health", self.health_ready),
            HttpRoute(model, self._asked(self.metadata)),
            HttpRoute(pinned, self._asked(self.metadata)),
            HttpRoute(model + "/config", self._asked(self.config)),
            HttpRoute(pinned + "/config", self._asked(self.config)),
            HttpRoute(model + "/stats", self._asked(self.statistics)),
            HttpRoute(pinned + "/stats", self._asked(self.statistics)),
            HttpRoute(model + "/ready", self._asked(self.model_ready)),
            HttpRoute(pinned + "/ready", self._asked(self.model_ready)),
            HttpRoute("/v2/repository/index", self._asked(self.index), methods=["POST"]),
            HttpRoute("/v2/repository/models/{model}/load", self._guarded(self.repository_load), methods=["POST"]),
            HttpRoute("/v2/repository/models/{model}/unload", self._guarded(self.repository_unload), methods=["POST"]),
            HttpRoute("/metrics", self._asked(self.metrics)),
            HttpRoute("/admin/status", self._guarded(self.status)),
            HttpRoute("/admin/counts", self._guarded(self.counts)),
            HttpRoute("/admin/sync", self._guarded(self.sync), methods=["POST"]),
            HttpRoute("/admin/load", self._guarded(self.load), methods=["POST"]),
        ]
        if not administered:
            routes = [route for route in routes if not route.path.startswith(_ADMINISTERED)]
        handlers: Any = {ProdmlError: _known, HTTPException: _http}
        app = Starlette(routes=routes, exception_handlers=handlers)
        app.router.redirect_slashes = False  # a redirect would go wherever the client's Host header says
        return app

    def _guarded(self, handler: Handler) -> Handler:
        async def check(request: Request) -> Response:
            self._access.check_admin(dict(request.headers.raw))
            return await handler(request)

        return check

    def _asked(self, handler: Handler) -> Handler:
        """What tells of models is for those who may ask them, where that takes a token."""

        async def check(request: Request) -> Response:
            self._access.tenant(dict(request.headers.raw), request.path_params.get("model"))
            return await handler(request)

        return check

    async def server(self, _request: Request) -> Response:
        return _json(server_metadata())

    async def openapi(self, _request: Request) -> Response:
        """Every route of this class and of the front, but ``/admin`` and ``/metrics``; kept beside this file."""
        return Response(files(__package__).joinpath("openapi.json").read_bytes(), media_type="application/json")

    async def live(self, _request: Request) -> Response:
        return _json({"live": True})

    async def health_ready(self, _request: Request) -> Response:
        return _json({"ready": self.catalog.ready}, 200 if self.catalog.ready else 503)

    async def metadata(self, request: Request) -> Response:
        return _json(self.catalog.metadata(*_which(request)))

    async def config(self, request: Request) -> Response:
        return _json(self.catalog.config(*_which(request)))

    async def statistics(self, request: Request) -> Response:
        return _json(await self.catalog.statistics(*_which(request)))

    async def model_ready(self, request: Request) -> Response:
        lane = self.catalog.lane(*_which(request))
        return _json({"name": lane.version.model, "version": str(lane.version.version), "ready": True})

    async def index(self, request: Request) -> Response:
        asked = await _body(request, _Index)
        return _json(self.catalog.index(ready=asked.ready))

    async def repository_load(self, request: Request) -> Response:
        await self.catalog.load(request.path_params["model"], (await _body(request, _Repository)).parameters)
        return _json({})

    async def repository_unload(self, request: Request) -> Response:
        await self.catalog.unload(request.path_params["model"], (await _body(request, _Repository)).parameters)
        return _json({})

    async def metrics(self, _request: Request) -> Response:
        return Response((await self.catalog.metrics()).page(), media_type="text/plain; version=0.0.4")

    async def counts(self, _request: Request) -> Response:
        return _json(self._metrics.counts())

    async def status(self, _request: Request) -> Response:
        report = GatewayReport(
            pid=os.getpid(),
            started_at=self._started_at,
            last_id=self._router.last_id,
            device=self._device,
            models=self._router.report(),
        )
        return _json(report)

    async def sync(self, _request: Request) -> Response:
        problems = await self._follower.follow()
        return _json(Synced(last_id=self._router.last_id, problems=problems))

    async def load(self, request: Request) -> Response:
        wanted = await _body(request, LoadVersion)
        loaded = await self._router.hold(wanted.model, wanted.files)
        device, long_seconds = loaded.session.device, self._router.long_seconds(loaded)
        return _json(Loaded(model=wanted.model, version=loaded.version, device=device, long_seconds=long_seconds))


class _Index(msgspec.Struct):
    """POST /v2/repository/index."""

    ready: bool = False


class _Repository(msgspec.Struct):
    """POST /v2/repository/models/NAME/load and …/unload."""

    parameters: dict[str, Any] = {}


def _which(request: Request) -> tuple[str, str | None]:
    """The model and the version that the path names."""
    return request.path_params.get("model", ""), request.path_params.get("version")


async def _body(request: Request, kind: type[Body]) -> Body:
    """The body as a record of `kind`; an empty one is one with its defaults, where it has them."""
    chunks: list[bytes] = []
    async for chunk in request.stream():
        chunks.append(chunk)
        if sum(map(len, chunks)) > _MAX_ADMIN_BODY:
            raise TooLarge("the body is too large for a control request")
    try:
        return msgspec.json.decode(b"".join(chunks) or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the body is not what this route takes ({error})") from error


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def _known(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ProdmlError)
    response = _json({"error": str(error)}, error.http_status)
    if error.http_status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    asked = f"{request.method} {ascii(request.url.path)[1:-1][:100]}"
    if error.status_code == 404 and matched(request.url.path):
        response = _json({"error": f"{asked}: method not allowed; send POST"}, 405)
        response.headers["allow"] = "POST"
        return response
    return _json({"error": f"{asked}: {error.detail.lower()}"}, error.status_code)
