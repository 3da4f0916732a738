"""The bounds of a gateway worker; nothing in it grows beyond them."""

from __future__ import annotations

import math

import msgspec

from prodml_magics.wire.routes import Serving

__all__ = ["Limits", "limits_for"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes or rows, times in seconds."""

    body_bytes: int = 32 << 20
    """A larger request body is refused with 413."""
    memory_bytes: int | None = None
    """What the worker may take as a whole; beyond, models that nobody asks are put away, and no further one is loaded."""
    idle_seconds: float = 10.0
    """A version that has not run for so long may be put away when memory runs short."""
    batch_rows: int = 1024
    """Rows of one run of a model; a larger request runs alone."""
    queue_rows: int = 16_384
    """Rows of one version that wait; beyond, requests are refused with 503."""
    deadline: float = 30.0
    """A request that is not answered within is answered 504."""
    objective: float = math.inf
    """A request that is expected to take longer, waiting included, is refused with 503 instead."""
    output_range: tuple[float, float] | None = None
    """Outputs outside count as failures of the version."""
    inline_seconds: float = 0.003
    """Runs expected to be shorter stay on the event loop; longer ones go to a thread."""
    inline_limit: float = 1.0
    """A run on the event loop that takes longer after all is ended, and tried again in a thread."""
    shadow_rows: int = 8192
    """Rows that wait for shadows; beyond, rows are dropped and counted."""
    shadow_batches: int = 512
    """Batches in which they may wait: of very many small ones the garbage collector stops the worker for tens of milliseconds."""
    shadow_share: float = 0.3
    """Share of time that one shadow thread may spend running models."""
    grpc_calls: int = 1024
    """gRPC calls and streams at once; beyond, a call is answered RESOURCE_EXHAUSTED."""
    id_length: int = 200
    """Characters of a request id or routing key."""
    connections: int = 10_000
    """HTTP connections at once; one more is answered 503 and closed."""
    head_bytes: int = 64 << 10
    """A larger request head is refused with 431."""
    head_seconds: float = 10.0
    """How long a client may take for the head of a request, and stay silent at first; then it is answered 408, or closed."""
    body_seconds: float = 20.0
    """How long it may take for the body, and one second more for every `body_rate` bytes that have come."""
    body_rate: int = 1000
    unread_seconds: float = 30.0
    """A connection whose client reads nothing of its answer for so long is cut."""
    look_seconds: float = 1.0
    """How often connections are looked at for that."""


def limits_for(serving: Serving, limits: Limits) -> Limits:
    """`limits` as one model has them."""
    if serving.slo_p99_ms is not None:
        limits = msgspec.structs.replace(limits, objective=serving.slo_p99_ms / 1e3)
    if serving.batch_rows is not None:
        limits = msgspec.structs.replace(limits, batch_rows=serving.batch_rows)
    if serving.output_range is not None:
        limits = msgspec.structs.replace(limits, output_range=serving.output_range)
    return limits
