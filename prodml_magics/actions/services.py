"""How actions talk to gateway and controller: small JSON calls over loopback, with the token of ``runtime.json``."""

from __future__ import annotations

import http.client
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from prodml_magics.actions.workers import merged_reports, merged_syncs
from prodml_magics.actions.workspace import Workspace
from prodml_magics.engines import local
from prodml_magics.errors import Conflict, GateRefused, InvalidInput, NotFound, ProdmlError, Unavailable
from prodml_magics.storage.runtime import read_runtime
from prodml_magics.wire.admin import Drained, GatewayReport, Loaded, LoadVersion, Synced
from prodml_magics.wire.routes import VersionFiles
from prodml_magics.wire.runtime import Listen, Runtime

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
        """The gateway's report, of all its workers together; none when none answers."""
        reports = [report for url in self._workers() if (report := self._ask(url, "GET", "/admin/status", GatewayReport))]
        return merged_reports(reports) if reports else None

    def controller(self) -> Drained | None:
        """How far the controller has drained; none when it does not answer."""
        return self._ask(self._controller(), "GET", "/status", Drained)

    def drain(self) -> Drained | None:
        """Have everything that was answered until now brought into the lake; none when the controller is down."""
        return self._ask(self._controller(), "POST", "/drain", Drained, timeout=_LOAD)

    def hold(self, model: str, files: VersionFiles) -> Loaded:
        """Have every worker load, warm and check a version; a refusal is raised here. Returns what the last of them says of it.

        A worker that is being replaced follows the ledger when it is there.
        """
        unreachable: list[_Unreachable] = []
        loaded: Loaded | None = None
        urls = self._workers()
        for url in urls:
            try:
                loaded = self._call(url, "POST", "/admin/load", Loaded, LoadVersion(model, files), timeout=_LOAD)
            except _Unreachable as error:
                unreachable.append(error)
        if loaded is None:
            raise unreachable[0] if unreachable else _Unreachable("the gateway is not running; start it with `prodml up`")
        return loaded

    def sync(self) -> Synced | None:
        """Have every worker follow the ledger now, and wait until they do; none when none is there."""
        syncs = [sync for url in self._workers() if (sync := self._ask(url, "POST", "/admin/sync", Synced, timeout=_LOAD))]
        return merged_syncs(syncs) if syncs else None

    def _workers(self) -> list[str]:
        """Where each process of the gateway answers alone."""
        runtime = self.runtime()
        if runtime is None:
            return []
        return [worker.url for worker in runtime.gateway.workers] or [runtime.gateway.url]

    def _controller(self) -> str | None:
        runtime = self.runtime()
        return None if runtime is None else runtime.controller.url

    def up(self, port: int | None = None, workers: int | None = None, listen: Listen | None = None) -> bool:
        """Start what does not run and return when both answer; returns whether anything had to be started."""
        workspace = self._workspace
        workspace.make_home()
        _ = workspace.ledger  # its tables must be there before two processes look for them
        started = local.start(workspace.home, port, workspace.service_environment, workers, listen)
        local.wait_until_ready(workspace.home, self._ready, timeout=_START)
        return started

    def url(self) -> str | None:
        """Where the gateway answers, or would."""
        runtime = self.runtime()
        return None if runtime is None else runtime.gateway.url

    def _ready(self) -> bool:
        # Children of a supervisor that was killed answer before the next one has taken them over.
        urls = self._workers() if local.is_running(self._workspace.home) else []
        reports = [self._ask(url, "GET", "/admin/status", GatewayReport) for url in urls]
        return bool(reports) and all(reports) and self.controller() is not None

    def _ask(self, url: str | None, method: str, path: str, kind: type[T], *, timeout: float = _QUICK) -> T | None:
        try:
            return None if url is None else self._call(url, method, path, kind, timeout=timeout)
        except _Unreachable:
            return None

    def _call(
        self, url: str, method: str, path: str, kind: type[T], body: msgspec.Struct | None = None, *, timeout: float = _QUICK
    ) -> T:
        runtime = self.runtime()
        token = "" if runtime is None else runtime.token
        status, answer = _exchange(url, method, path, token, body, timeout)
        stranger = f"something else answers on {url}; stop it or run `prodml down` and `prodml up`"
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
