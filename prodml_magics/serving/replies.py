"""Replies of the core: an answer written down, or an error as status, headers and one line."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import msgspec

from prodml_magics.contract.schema import Contract
from prodml_magics.errors import Overloaded, ProdmlError
from prodml_magics.serving.batcher import Lane
from prodml_magics.serving.openinference import InferRequest, encode_response
from prodml_magics.serving.plain import PlainRequest
from prodml_magics.serving.requests import Answer, Pending

__all__ = ["BROKEN", "Encode", "Reply", "deliver", "encode_binary", "encode_plain", "head", "predictions", "refuse", "release"]

_log = logging.getLogger(__name__)
Reply = Callable[[int, list[tuple[bytes, bytes]], bytes], None]
"""Takes status, headers beside content type and length, and the body; called once, on the event loop."""
Encode = Callable[[Lane, Answer], tuple[list[tuple[bytes, bytes]], bytes]]
BROKEN = b'{"error":"the gateway failed on this request; see gateway.log"}'
"""The body of a 500 that is our fault."""
_EXTRA = {401: [(b"www-authenticate", b"Bearer")]}
"""Headers that go with a status."""


def refuse(error: ProdmlError, reply: Reply) -> None:
    """Reply with `error`."""
    wait = math.ceil(error.seconds) if isinstance(error, Overloaded) else 1
    extra = _EXTRA.get(error.http_status, []) if error.http_status != 503 else [(b"retry-after", b"%d" % wait)]
    reply(error.http_status, extra, msgspec.json.encode({"error": str(error)}))


def deliver(answer: Answer, lane: Lane, encode: Encode, reply: Reply) -> int:
    """Reply with `answer`; a fault in writing it down fails this request alone, not those that ran with it."""
    try:
        extra, payload = encode(lane, answer)
    except Exception:
        _log.exception("an answer could not be written")
        reply(500, [], BROKEN)
        return 500
    reply(200, extra, payload)
    return 200


def release(pending: Pending | PlainRequest) -> None:
    """Let those go on who wait for the answer that `pending` did not get."""
    if pending.lane.cached is not None:
        pending.lane.cached.failed(pending, pending.lane)


def head(lane: Lane, request_id: str) -> bytes:
    """The beginning of every JSON answer to this request."""
    return b'{%b,"id":%b,"parameters":{"arm":"%b"}' % (lane.head, msgspec.json.encode(request_id), lane.arm.encode())


def predictions(contract: Contract, names: tuple[str, ...], answer: Answer) -> list[dict[str, Any]]:
    """The rows of an answer as people read them: probabilities by class."""
    lists: dict[str, list[Any]] = {name: answer.array(name).tolist() for name in names}
    if contract.task == "classification" and contract.classes and "probabilities" in lists:
        classes = [str(each) for each in contract.classes]
        lists["probabilities"] = [dict(zip(classes, row, strict=True)) for row in lists["probabilities"]]
    return [{name: values[row] for name, values in lists.items()} for row in range(answer.stop - answer.start)]


def encode_plain(request_id: str, lane: Lane, answer: Answer) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The answer to a plain request of several rows."""
    request = InferRequest(request_id, {}, {}, False)
    payload, _ = encode_response(head(lane, request_id), answer, lane.outputs, request, lane.version.contract)
    return [(b"x-request-id", request_id.encode())], payload


def encode_binary(request_id: str, lane: Lane, answer: Answer) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The answer to a request that wants all outputs in binary."""
    found = lane.binary.body(request_id, answer)
    if found is None:
        request = InferRequest(request_id, {}, {}, True)
        body, length = encode_response(head(lane, request_id), answer, lane.outputs, request, lane.version.contract)
    else:
        body, length = found
    return [(b"x-request-id", request_id.encode()), (b"inference-header-content-length", b"%d" % (length or 0))], body
