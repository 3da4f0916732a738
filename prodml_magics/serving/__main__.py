"""``python -m prodml_magics.serving``: one gateway worker, started by the supervisor with a listening socket."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import uvicorn

from prodml_magics.errors import ProdmlError
from prodml_magics.serving.access import Access
from prodml_magics.serving.app import Control
from prodml_magics.serving.fast import fast_protocol
from prodml_magics.serving.follow import Follower
from prodml_magics.serving.front import Front
from prodml_magics.serving.limits import Limits
from prodml_magics.serving.log import RequestLog
from prodml_magics.serving.marker import ShadowMarker
from prodml_magics.serving.metrics import Metrics
from prodml_magics.serving.predict import Predictor
from prodml_magics.serving.router import Router
from prodml_magics.serving.siblings import Siblings
from prodml_magics.serving.watchdog import Watchdog
from prodml_magics.storage.ledger import Ledger
from prodml_magics.storage.runtime import Lock
from prodml_magics.storage.spool import SpoolWriter

_DRAIN_SECONDS = 10
_OWN_FILES = 200
"""Files, sockets and pipes of a worker that are not connections of clients."""


def main() -> None:
    """Serve until SIGTERM; then finish the requests in flight and close the log."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    lock = Lock(arguments.home / "run" / f"{arguments.role}.lock")
    asyncio.Runner(loop_factory=_loop_factory()).run(_serve(arguments))
    lock.release()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m prodml_magics.serving")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--descriptor", type=int, required=True, help="bound socket, inherited from the supervisor")
    parser.add_argument("--grpc", default="", help="host:port to serve gRPC on; none where empty")
    parser.add_argument("--role", default="gateway", help="which of several workers this is")
    parser.add_argument("--control", type=int, help="bound socket on which this worker alone answers")
    parser.add_argument("--certificate", help="speak TLS with this PEM file, over HTTP and gRPC")
    parser.add_argument("--key", help="its private key")
    parser.add_argument(
        "--public", action="store_true", help="more than this machine reaches the socket: no control routes there"
    )
    parser.add_argument("--memory", type=int, help="bytes that the worker may take before it puts models away")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _room_for_connections(wanted: int) -> int:
    """How many connections there may be beside the files that a worker needs itself; as many as the system lets it open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted + _OWN_FILES
    allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft - _OWN_FILES))


async def _serve(arguments: argparse.Namespace) -> None:
    limits = Limits(connections=_room_for_connections(Limits().connections), memory_bytes=arguments.memory)
    metrics = Metrics()
    marker = ShadowMarker(arguments.home / "run" / f"{arguments.role}.shadow")
    canary_marker = ShadowMarker(arguments.home / "run" / f"{arguments.role}.canary")
    live_marker = ShadowMarker(arguments.home / "run" / f"{arguments.role}.live")
    log = RequestLog(SpoolWriter(arguments.home / "spool"), metrics)
    router = Router(
        arguments.home,
        log,
        metrics,
        limits,
        device=arguments.device,
        quarantined=marker.quarantined() | canary_marker.quarantined(),
        marker=marker,
        canary_marker=canary_marker,
        crashed=live_marker.quarantined(),
        live_marker=live_marker,
    )
    watchdog = Watchdog(router.versions, limits, threading.get_ident())
    token = os.environ["PRODML_TOKEN"]
    access = Access(arguments.home, token)
    follower = Follower(Ledger(os.environ["PRODML_DATABASE_URL"]), router, access)
    predictor = Predictor(router, metrics, log, limits, access)
    siblings = None if arguments.control is None else Siblings(arguments.home, token)
    control = Control(router, follower, metrics, access, arguments.device, siblings)
    server = uvicorn.Server(
        uvicorn.Config(
            Front(predictor, limits, control.app(administered=not arguments.public)),
            ssl_certfile=arguments.certificate,
            ssl_keyfile=arguments.key,
            http=fast_protocol(predictor, limits),
            log_level="warning",
            access_log=False,
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
            h11_max_incomplete_event_size=64 << 10,
        )
    )
    rpc, _ = await asyncio.gather(_listen_rpc(arguments, predictor, control, access, limits), follower.follow())
    control.catalog.ready = True
    # What is loaded by now stays: a collection that walks through all of it would hold every request up for tens of milliseconds.
    gc.collect()
    gc.freeze()
    following = asyncio.create_task(follower.run())
    # uvicorn raises the signal anew once it has drained; what follows below must still run.
    signal.signal(signal.SIGTERM, lambda *_: None)
    async with _controlled(arguments.control, control):
        with socket.socket(fileno=arguments.descriptor) as listening:
            await server.serve(sockets=[listening])
    if rpc is not None:
        await rpc.stop(_DRAIN_SECONDS)
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following
    await router.close()
    watchdog.close()
    log.close()


class _Beside(uvicorn.Server):
    """A second server of this process, which leaves signals to the first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


@contextlib.asynccontextmanager
async def _controlled(descriptor: int | None, control: Control) -> AsyncIterator[None]:
    """Answer on a socket of this worker's own as well, where it has one."""
    if descriptor is None:
        yield
        return
    beside = _Beside(uvicorn.Config(control.app(), log_level="warning", access_log=False, lifespan="off", proxy_headers=False))
    with socket.socket(fileno=descriptor) as listening:
        task = asyncio.create_task(beside.serve(sockets=[listening]))
        try:
            yield
        finally:
            beside.should_exit = True
            await task


async def _listen_rpc(
    arguments: argparse.Namespace, predictor: Predictor, control: Control, access: Access, limits: Limits
) -> Any:
    """The running gRPC server; none where none is wanted, or where it cannot run: HTTP is then served alone."""
    if not arguments.grpc:
        return None
    tls = (arguments.certificate, arguments.key) if arguments.certificate else None
    try:
        # Imported beside the loading of models, in a thread: most of the time that it takes is not spent in Python.
        rpc = await asyncio.to_thread(import_module, "prodml_magics.serving.rpc.server")
        server, _ = await rpc.listen(arguments.grpc, predictor, control.catalog, access, limits, tls=tls)
    except (ImportError, ProdmlError) as error:
        logging.getLogger(__name__).error("gRPC is not served: %s", error)
        return None
    return server


if __name__ == "__main__":
    main()
