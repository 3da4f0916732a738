"""The gRPC listener of a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc.aio

from prodml_magics.errors import Unavailable
from prodml_magics.serving.access import Access
from prodml_magics.serving.catalog import Catalog
from prodml_magics.serving.limits import Limits
from prodml_magics.serving.predict import Predictor
from prodml_magics.serving.rpc.service import Service

__all__ = ["listen"]


async def listen(
    address: str, predictor: Predictor, catalog: Catalog, access: Access, limits: Limits, *, tls: tuple[str, str] | None = None
) -> tuple[Any, int]:
    """Serve on `address` (host:port, port 0 for a free one), with the certificate and key of `tls`; returns the server and its port.

    The port is shared (``SO_REUSEPORT``): with the reserved socket of the supervisor, and with other workers of the same home.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", limits.body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", 16 << 10),
            ("grpc.max_concurrent_streams", limits.grpc_calls),
        ],
        maximum_concurrent_rpcs=limits.grpc_calls,
    )
    server.add_generic_rpc_handlers((Service(predictor, catalog, access).handler(),))
    try:
        port = server.add_secure_port(address, _credentials(*tls)) if tls else server.add_insecure_port(address)
    except (OSError, RuntimeError) as error:
        raise Unavailable(f"gRPC cannot listen on {address}; see gateway.log") from error
    await server.start()
    return server, port


def _credentials(certificate: str, key: str) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials([(Path(key).read_bytes(), Path(certificate).read_bytes())])
