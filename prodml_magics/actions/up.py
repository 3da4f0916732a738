"""%up and %down: the services of this home."""

from __future__ import annotations

import os

from prodml_magics.actions.listen import listen_of
from prodml_magics.actions.results import ServicesResult
from prodml_magics.actions.services import Services
from prodml_magics.actions.workspace import Workspace
from prodml_magics.engines import local
from prodml_magics.errors import Conflict
from prodml_magics.wire.requests import Down, Up
from prodml_magics.wire.results import ServicesRecord

__all__ = ["down", "foreground", "up"]


def up(workspace: Workspace, request: Up) -> ServicesResult:
    """Start what does not run; return when gateway and controller answer."""
    started = workspace.clock.monotonic()
    services = Services(workspace)
    if request.port is not None and local.is_running(workspace.home):
        url = services.url()
        if url and not url.endswith(f":{request.port}"):
            raise Conflict(f"the gateway already runs on {url}; run `prodml down` first to move it to port {request.port}")
    running = services.runtime() if local.is_running(workspace.home) else None
    if running is not None and request.workers not in (None, len(running.gateway.workers) or 1):
        raise Conflict(
            f"the gateway already runs with {len(running.gateway.workers) or 1} workers; run `prodml down` first to change that"
        )
    listen = listen_of(workspace, request)
    if running is not None and listen != running.listen:
        raise Conflict(
            f"the gateway already runs on {running.gateway.url}; run `prodml down` first to change address or certificate"
        )
    changed = services.up(request.port, request.workers, listen)
    seconds = workspace.clock.monotonic() - started
    return ServicesResult(ServicesRecord(state="up", changed=changed, url=services.url(), seconds=seconds))


def foreground(workspace: Workspace, request: Up) -> None:
    """Become the supervisor, as systemd or a container wants it; returns only by an error."""
    if local.is_running(workspace.home):
        raise Conflict("the services already run in the background; run `prodml down` first")
    workspace.make_home()
    _ = workspace.ledger
    line = local.command(workspace.home, request.port, request.workers, listen_of(workspace, request))
    os.execve(line[0], line, os.environ | workspace.service_environment)


def down(workspace: Workspace, _request: Down) -> ServicesResult:
    """Stop everything of this home after the requests in flight."""
    started = workspace.clock.monotonic()
    changed = local.stop(workspace.home)
    seconds = workspace.clock.monotonic() - started
    return ServicesResult(ServicesRecord(state="down", changed=changed, url=None, seconds=seconds))
