"""How actions talk to gateway and controller: small JSON calls over loopback, with the token of ``runtime.json``."""

from __future__ import annotations

import http.client
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from prodml_magics.actions.workspace import Workspace
from prodml_magics.engines import local
from prodml_magics.errors import Conflict, GateRefused, InvalidInput, NotFound, ProdmlError, Unavailable
from prodml_magics.storage.runtime import read_runtime
from prodml_magics.wire.admin import Drained, GatewayReport, LoadVersion, Synced
from prodml_magics.wire.routes import VersionFiles
from prodml_magics.wire.runtime import Runtime

__all__ = ["Services"]

T = TypeVar("T")
_QUICK = 2.0
_LOAD = 120.0
_START = 60.0
_ERRORS: dict[int, type[ProdmlError]] = {400: InvalidInput, 404: NotFound, 409: GateRefused, 503: Unavailable}


class Services:
    """The running services of a workspace; every call reads ``runtime.json`` anew, since a restart may have changed it."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def runtime(self) -> Runtime | None:
        """What the supervisor wrote last."""
        return read_runtime(self._workspace.home / "runtime.json")

    def gateway(self) -> GatewayReport | None:
        """The gateway's report; none when it does not answer."""
        return self._ask("gateway", "GET", "/admin/status", GatewayReport)

    def controller(self) -> Drained | None:
        """How far the controller has drained; none when it does not answer."""
        return self._ask("controller", "GET", "/status", Drained)

    def drain(self) -> Drained | None:
        """Have everything that was answered until now brought into the lake; none when the controller is down."""
        return self._ask("controller", "POST", "/drain", Drained, timeout=_LOAD)

    def hold(self, model: str, files: VersionFiles) -> None:
        """Have the gateway load, warm and check a version; its refusal is raised here."""
        self._call("gateway", "POST", "/admin/load", _Loaded, LoadVersion(model, files), timeout=_LOAD)

    def sync(self) -> Synced | None:
        """Have the gateway follow the ledger now; none when it is down."""
        return self._ask("gateway", "POST", "/admin/sync", Synced, timeout=_LOAD)

    def up(self, port: int | None = None) -> bool:
        """Start what does not run and return when both answer; returns whether anything had to be started."""
        workspace = self._workspace
        workspace.make_home()
        _ = workspace.ledger  # its tables must be there before two processes look for them
        started = local.start(workspace.home, port, workspace.service_environment)
        local.wait_until_ready(workspace.home, self._ready, timeout=_START)
        return started

    def url(self) -> str | None:
        """Where the gateway answers, or would."""
        runtime = self.runtime()
        return None if runtime is None else runtime.gateway.url

    def _ready(self) -> bool:
        return self.gateway() is not None and self.controller() is not None

    def _ask(self, role: str, method: str, path: str, kind: type[T], *, timeout: float = _QUICK) -> T | None:
        try:
            return self._call(role, method, path, kind, timeout=timeout)
        except _Unreachable:
            return None

    def _call(
        self, role: str, method: str, path: str, kind: type[T], body: msgspec.Struct | None = None, *, timeout: float = _QUICK
    ) -> T:
        runtime = self.runtime()
        if runtime is None:
            raise _Unreachable(f"the {role} is not running; start it with `prodml up`")
        service = runtime.gateway if role == "gateway" else runtime.controller
        status, answer = _exchange(service.url, method, path, runtime.token, body, timeout)
        stranger = f"something else answers on {service.url}; stop it or run `prodml down` and `prodml up`"
        if status == 401:
            raise _Unreachable(stranger)
        if status != 200:
            said = _message(answer)
            if said is None:
                raise _Unreachable(stranger)
            raise _ERRORS.get(status, Conflict)(said)
        try:
            return msgspec.json.decode(answer, type=kind)
        except msgspec.DecodeError as error:
            raise _Unreachable(stranger) from error


class _Loaded(msgspec.Struct, frozen=True):
    """Answer of POST /admin/load."""

    model: str
    version: int


class _Unreachable(Unavailable):
    """The service does not answer."""


def _exchange(url: str, method: str, path: str, token: str, body: msgspec.Struct | None, timeout: float) -> tuple[int, bytes]:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=timeout)
    try:
        payload = b"" if body is None else msgspec.json.encode(body)
        connection.request(method, path, payload, {"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise _Unreachable(f"{url} does not answer ({reason}); start the services with `prodml up`") from error
    finally:
        connection.close()


def _message(answer: bytes) -> str | None:
    """The error that one of our services gives; none when it was somebody else who answered."""
    try:
        return str(msgspec.json.decode(answer)["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return None
