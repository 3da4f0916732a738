"""How the requests of a model are taken: what ``%deploy`` says of it, kept in the route until it is changed."""

from __future__ import annotations

from msgspec.structs import replace

from prodml_magics.actions.windows import parse_milliseconds
from prodml_magics.wire.requests import Deploy
from prodml_magics.wire.routes import Serving

__all__ = ["serving_of"]


def serving_of(request: Deploy, before: Serving) -> Serving:
    """`before` with what `request` changes in it."""
    after = before
    if request.slo_p99:
        objective = None if request.slo_p99 == "none" else parse_milliseconds(request.slo_p99, "--slo-p99")
        after = replace(after, slo_p99_ms=objective)
    if request.max_batch is not None:
        after = replace(after, batch_rows=request.max_batch)
    return after
