"""The bounds of a gateway worker; nothing in it grows beyond them."""

from __future__ import annotations

import msgspec

__all__ = ["Limits"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes or rows, times in seconds."""

    body_bytes: int = 32 << 20
    """A larger request body is refused with 413."""
    batch_rows: int = 1024
    """Rows of one run of a model; a larger request runs alone."""
    queue_rows: int = 16_384
    """Rows of one version that wait; beyond, requests are refused with 503."""
    deadline: float = 30.0
    """A request that is not answered within is answered 504."""
    inline_seconds: float = 0.003
    """Runs expected to be shorter stay on the event loop; longer ones go to a thread."""
    shadow_rows: int = 8192
    """Rows that wait for shadows; beyond, rows are dropped and counted."""
    shadow_share: float = 0.3
    """Share of time that one shadow thread may spend running models."""
    grpc_calls: int = 1024
    """gRPC calls and streams at once; beyond, a call is answered RESOURCE_EXHAUSTED."""
    id_length: int = 200
    """Characters of a request id or routing key."""
