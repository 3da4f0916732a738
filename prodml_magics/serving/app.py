"""The gateway's routes beside prediction: metadata, health, metrics, and ``/admin`` for actions; assembled in one place."""

from __future__ import annotations

import hmac
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as HttpRoute

from prodml_magics.errors import InvalidInput, ProdmlError
from prodml_magics.serving.follow import Follower
from prodml_magics.serving.metrics import Metrics
from prodml_magics.serving.router import Router
from prodml_magics.wire.admin import GatewayReport, LoadVersion, Synced

__all__ = ["Control"]

_MAX_ADMIN_BODY = 1 << 20
_PLATFORMS = {False: "onnx_onnxv1", True: "python"}
"""The protocol's name for what runs a model, by whether it runs in a process of its own."""
Handler = Callable[[Request], Awaitable[Response]]


class Control:
    """Handlers of everything that is not a prediction."""

    def __init__(self, router: Router, follower: Follower, metrics: Metrics, token: str, device: str) -> None:
        self._router = router
        self._follower = follower
        self._metrics = metrics
        self._token = token.encode()
        self._device = device
        self._started_at = datetime.now(UTC)
        self.ready = False

    def app(self) -> Starlette:
        """The Starlette application with every route, in order."""
        model = "/v2/models/{model}"
        pinned = model + "/versions/{version}"
        routes = [
            HttpRoute("/v2", self.server),
            HttpRoute("/v2/health/live", self.live),
            HttpRoute("/v2/health/ready", self.health_ready),
            HttpRoute(model, self.metadata),
            HttpRoute(pinned, self.metadata),
            HttpRoute(model + "/ready", self.model_ready),
            HttpRoute(pinned + "/ready", self.model_ready),
            HttpRoute("/metrics", self.metrics),
            HttpRoute("/admin/status", self._guarded(self.status)),
            HttpRoute("/admin/sync", self._guarded(self.sync), methods=["POST"]),
            HttpRoute("/admin/load", self._guarded(self.load), methods=["POST"]),
        ]
        handlers: Any = {ProdmlError: _known, HTTPException: _http}
        return Starlette(routes=routes, exception_handlers=handlers)

    def _guarded(self, handler: Handler) -> Handler:
        async def check(request: Request) -> Response:
            given = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, b"Bearer " + self._token):
                return _json({"error": "the control routes need the bearer token of runtime.json"}, 401)
            return await handler(request)

        return check

    async def server(self, _request: Request) -> Response:
        return _json({"name": "prodml", "version": package_version("prodml-magics"), "extensions": ["binary_tensor_data"]})

    async def live(self, _request: Request) -> Response:
        return _json({"live": True})

    async def health_ready(self, _request: Request) -> Response:
        return _json({"ready": self.ready}, 200 if self.ready else 503)

    async def metadata(self, request: Request) -> Response:
        lane = self._lane(request)
        contract = lane.version.contract
        tensors = {
            side: [msgspec.to_builtins(tensor) for tensor in each]
            for side, each in (("inputs", contract.inputs), ("outputs", contract.outputs))
        }
        parameters = {
            "columns": [column.name for column in contract.columns],
            "classes": list(contract.classes),
            "task": contract.task,
        }
        head = {
            "name": lane.version.model,
            "versions": [str(lane.version.version)],
            "platform": _PLATFORMS[lane.version.session.isolated],
        }
        return _json({**head, **tensors, "parameters": parameters})

    async def model_ready(self, request: Request) -> Response:
        lane = self._lane(request)
        return _json({"name": lane.version.model, "version": str(lane.version.version), "ready": True})

    def _lane(self, request: Request) -> Any:
        version = request.path_params.get("version")
        if version is not None and not (version.isascii() and version.isdigit()):
            raise InvalidInput(f"{ascii(version)[:30]} is not a version number")
        return self._router.lane(request.path_params["model"], None if version is None else int(version))

    async def metrics(self, _request: Request) -> Response:
        return Response(self._metrics.page(), media_type="text/plain; version=0.0.4")

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
        body = await request.body()
        if len(body) > _MAX_ADMIN_BODY:
            raise InvalidInput("the body is too large for a control request")
        try:
            wanted = msgspec.json.decode(body, type=LoadVersion)
        except msgspec.DecodeError as error:
            raise InvalidInput(f"the body is not a version to load ({error})") from error
        loaded = await self._router.hold(wanted.model, wanted.files)
        return _json({"model": wanted.model, "version": loaded.version, "device": loaded.session.device})


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def _known(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ProdmlError)
    return _json({"error": str(error)}, error.http_status)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json({"error": f"{request.method} {ascii(request.url.path)[1:-1][:100]}: {error.detail.lower()}"}, error.status_code)
