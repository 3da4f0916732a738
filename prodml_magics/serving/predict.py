"""The core of prediction: bytes in, one reply out. No HTTP library, no futures: a front hands in a function that takes the reply.

Both fronts, ASGI and the short way past it, call these functions, so that the same bytes get the same answer on either.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
import numpy as np

from prodml_magics.contract.encode import encode_rows
from prodml_magics.errors import InvalidInput, NotFound, ProdmlError, Unavailable
from prodml_magics.serving.access import Access
from prodml_magics.serving.batcher import Lane
from prodml_magics.serving.compression import unpacked
from prodml_magics.serving.identities import KEY, REQUEST_ID, Identities
from prodml_magics.serving.invocations import decode_invocation, encode_predictions
from prodml_magics.serving.late import Late
from prodml_magics.serving.limits import Limits
from prodml_magics.serving.log import RequestLog
from prodml_magics.serving.metrics import Metrics
from prodml_magics.serving.openinference import InferRequest, decode_request, encode_response
from prodml_magics.serving.plain import PlainRequest, Wire
from prodml_magics.serving.raw import BinaryHeads, Encoded, RawForm, RawRequest, finite
from prodml_magics.serving.reading import (
    Headers,
    Read,
    checked,
    header_length,
    least_rows,
    named_rows,
    plain,
    unquoted,
    version_number,
)
from prodml_magics.serving.replies import (
    BROKEN,
    Encode,
    Reply,
    deliver,
    encode_binary,
    encode_plain,
    head,
    predictions,
    refuse,
    release,
)
from prodml_magics.serving.requests import Answer, Pending
from prodml_magics.serving.router import Router

__all__ = ["DEADLINE", "Known", "Predictor"]

_log = logging.getLogger(__name__)

DEADLINE = b"x-prodml-deadline-ms"
"""Header with the milliseconds within which a client wants its answer; later it is of no use to it."""


_VARIES = frozenset((b"content-encoding", REQUEST_ID, KEY))
"""Headers with which a request goes the long way, or that differ from request to request."""


@dataclass(slots=True)
class Known:
    """What the head of an inference request said, for requests with the same head."""

    model: str
    version: str | None
    number: int | None
    headers: dict[bytes, bytes]
    seconds: float
    """How long its client waits."""
    tenant: str
    """Whose token it carries; empty where none is needed."""
    generation: int
    """Of the tokens by which that was decided."""
    length: int | None
    """Bytes of JSON before binary tensors; none where there are none."""


class Predictor:
    """Answers ``infer`` (tensors) and ``predict`` (named rows)."""

    def __init__(self, router: Router, metrics: Metrics, log: RequestLog, limits: Limits, access: Access) -> None:
        self._access = access
        self._router = router
        self._metrics = metrics
        self._log = log
        self._limits = limits
        self._late = Late(log)
        self._heads = BinaryHeads()
        self.turns = router.turns
        self._identities = Identities(limits.id_length)

    def infer(self, model: str, version: str | None, headers: Headers, body: bytes, reply: Reply) -> None:
        """An inference request of the Open Inference Protocol."""
        self._guarded(reply, lambda: self._infer(model, version, headers, body, reply))

    def known(self, model: str, version: str | None, headers: Sequence[tuple[bytes, bytes]]) -> Known | None:
        """What a head means, where every request with it may be taken by `infer_known`."""
        found = dict(headers)
        if not _VARIES.isdisjoint(found):
            return None
        access = self._access
        try:
            tenant = access.tenant(found, model)
            number, length = version_number(version), header_length(found)
            return Known(model, version, number, found, self._patience(found), tenant, access.generation, length)
        except ProdmlError:
            return None

    def infer_known(self, known: Known, body: bytes, wire: Wire) -> None:
        """`infer` for a head that was seen before: most requests, and the least that one can cost."""
        try:
            if known.generation != self._access.generation:
                known.tenant = self._access.tenant(known.headers, known.model)
                known.generation = self._access.generation
            plain = self._plain_request(known, body, wire) if known.length is None else self._binary_request(known, body, wire)
            if isinstance(plain, str):
                self._infer(known.model, known.version, known.headers, body, wire.reply, plain)
            else:
                self._enter(plain.lane, plain)
        except ProdmlError as error:
            self.refuse(error, wire.reply)
        except Exception:  # the last net, as in `_guarded`
            _log.exception("a request failed")
            wire.reply(500, [], BROKEN)

    def _plain_request(self, known: Known, body: bytes, wire: Wire) -> PlainRequest | str:
        """The request, or its own identity (empty where it needs none yet) where it goes the long way: who answers is drawn once."""
        lane, own = self._router.lane(known.model, known.number), ""
        if lane.split is not None or not lane.version.breaker.closed:
            lane, own = self._chosen(lane, known.version, known.headers)
            if lane.split is not None and known.version is None:  # its rows say who answers: the long way
                return own
        if lane.busy and lane.cached is None:  # before it is decoded, so that a refusal costs as little as it can
            lane.check_room(known.seconds, tenant=known.tenant)
        found = None if lane.plain is None else lane.plain.decode(body)
        if found is None:
            return own
        given, packed, rows = found
        request_id = self._identities.checked(given) if given else own or self._identities.made()
        now = time.monotonic()
        return PlainRequest(self, lane, wire, request_id, packed, rows, time.time(), now, now + known.seconds, known.tenant)

    def _binary_request(self, known: Known, body: bytes, wire: Wire) -> RawRequest | str:
        """The request, where its JSON is known as well; empty where it goes the long way."""
        assert known.length is not None
        form = self._heads.find(body, known.length)
        if form is None:
            return ""
        lane = self._router.lane(known.model, known.number)
        return self._raw_request(lane, form, body[known.length :], "", known.seconds, known.tenant, wire, encode_binary) or ""

    def infer_raw(
        self,
        model: str,
        number: int | None,
        form: RawForm,
        request_id: str,
        packed: bytes,
        headers: Headers,
        wire: Wire,
        encode: Callable[[str, Lane, Answer], Encoded],
    ) -> bool:
        """An inference request of the one tensor `packed`, as `encode` writes its answer; False, and nothing done, where it has to go the
        long way.
        """
        if KEY in headers or REQUEST_ID in headers:
            return False
        taken = True

        def handle() -> None:
            nonlocal taken
            tenant = self._access.tenant(headers, model)
            lane = self._router.lane(model, number)
            pending = self._raw_request(lane, form, packed, request_id, self._patience(headers), tenant, wire, encode)
            taken = pending is not None
            if pending is not None:
                self._enter(lane, pending)

        self._guarded(wire.reply, handle)
        return taken

    def _raw_request(
        self,
        lane: Lane,
        form: RawForm,
        packed: bytes,
        given: str,
        seconds: float,
        tenant: str,
        wire: Wire,
        encode: Callable[[str, Lane, Answer], Encoded],
    ) -> RawRequest | None:
        plain = lane.plain
        if plain is None or plain.tensor != form.tensor or lane.split is not None or not lane.version.breaker.closed:
            return None
        if lane.busy and lane.cached is None:  # before its values are looked at, so that a refusal costs as little as it can
            lane.check_room(seconds, form.rows, tenant)
        if not finite(plain, packed):
            return None
        request_id = self._identities.checked(given) if given else self._identities.made()
        now = time.monotonic()
        request = RawRequest(self, lane, wire, request_id, packed, form.rows, time.time(), now, now + seconds, tenant)
        request.encode = encode
        return request

    def settle_plain(self, request: PlainRequest, outcome: Answer | ProdmlError) -> None:
        """Reply to a plain request the long way: a refusal, or several rows."""
        lane, wire = request.lane, request.wire
        if isinstance(outcome, ProdmlError):
            status = outcome.http_status
            refuse(outcome, wire.reply)
            release(request)
        else:
            encode = request.encode if isinstance(request, RawRequest) else encode_plain
            status = deliver(outcome, lane, partial(encode, request.request_id), wire.reply)
        lane.counted(request, time.monotonic(), status)

    def infer_with(
        self,
        model: str,
        version: str | None,
        headers: Headers,
        decode: Callable[[], InferRequest],
        encode: Callable[[Lane, str, InferRequest, Answer], bytes],
        reply: Reply,
    ) -> None:
        """An inference request of a front with a codec of its own; `encode` gets lane, request id, request and answer."""

        def handle() -> None:
            tenant = self._access.tenant(headers, model)
            lane, own = self._chosen(self._router.lane(model, version_number(version)), version, headers)
            decoded = decode()
            lane, key, (tensors, rows, found) = self._read(lane, version, headers, own, lambda lane: checked(decoded, lane))
            request = found or decoded
            request_id = self._identities.of(headers, request.id, own)

            def whole(lane: Lane, answer: Answer) -> tuple[list[tuple[bytes, bytes]], bytes]:
                return [], encode(lane, request_id, request, answer)

            self._submit(lane, request_id, tenant, key, headers, tensors, rows, whole, reply)

        self._guarded(reply, handle)

    def predict(self, model: str, headers: Headers, body: bytes, reply: Reply) -> None:
        """One named row, or a list of them."""
        self._guarded(reply, lambda: self._predict(model, headers, body, reply))

    def invoke(self, model: str | None, headers: Headers, body: bytes, reply: Reply) -> None:
        """An invocation as MLflow's scoring server takes it, of `model` or of the only one that is live."""
        self._guarded(reply, lambda: self._invoke(model, headers, body, reply))

    def refuse(self, error: ProdmlError, reply: Reply) -> None:
        """Answer with `error`, counted as refused before routing."""
        self._metrics.refused[error.http_status] += 1
        refuse(error, reply)

    def _guarded(self, reply: Reply, handle: Callable[[], None]) -> None:
        try:
            handle()
        except ProdmlError as error:
            self.refuse(error, reply)
        except Exception:  # the last net: a fault of ours is a 500 with no inner detail, and the traceback goes to the log
            _log.exception("a request failed")
            reply(500, [], BROKEN)

    def _infer(self, model: str, version: str | None, headers: Headers, body: bytes, reply: Reply, identity: str = "") -> None:
        model = unquoted(model)
        tenant = self._access.tenant(headers, model)
        lane, own = self._chosen(self._router.lane(model, version_number(version)), version, headers, identity)
        length = header_length(headers)
        if lane.busy and lane.cached is None and lane.split is None:  # before it is decoded: a refusal is to cost little
            lane.check_room(self._patience(headers), least_rows(lane, length, body), tenant)
        body = self._plain_body(headers, body)

        def read(lane: Lane) -> Read:
            return (plain(lane, body) if length is None else None) or checked(decode_request(body, length), lane)

        lane, key, (tensors, rows, found) = self._read(lane, version, headers, own, read)
        assert found is not None
        request: InferRequest = found
        if length is not None:
            self._heads.learn(body, length, request)
        request_id = self._identities.of(headers, request.id, own)

        def encode(lane: Lane, answer: Answer) -> tuple[list[tuple[bytes, bytes]], bytes]:
            payload, json_length = encode_response(head(lane, request_id), answer, lane.outputs, request, lane.version.contract)
            extra = [(b"x-request-id", request_id.encode())]
            if json_length is not None:
                extra.append((b"inference-header-content-length", str(json_length).encode()))
            return extra, payload

        self._submit(lane, request_id, tenant, key, headers, tensors, rows, encode, reply)

    def _predict(self, model: str, headers: Headers, body: bytes, reply: Reply) -> None:
        model = unquoted(model)
        tenant = self._access.tenant(headers, model)
        lane, own = self._chosen(self._router.lane(model), None, headers)
        given = named_rows(self._plain_body(headers, body))
        if not lane.version.contract.columns:
            raise InvalidInput(
                f"{lane.version.model} has no named columns; POST tensors to /v2/models/{lane.version.model}/infer"
            )

        def read(lane: Lane) -> Read:
            return encode_rows(lane.version.contract, given), len(given), None

        lane, key, (tensors, rows, _) = self._read(lane, None, headers, own, read)
        contract = lane.version.contract
        request_id = self._identities.of(headers, "", own)

        def encode(lane: Lane, answer: Answer) -> tuple[list[tuple[bytes, bytes]], bytes]:
            found = msgspec.json.encode(predictions(contract, lane.outputs, answer))
            payload = b'%b,"predictions":%b}' % (head(lane, request_id), found)
            return [(b"x-request-id", request_id.encode())], payload

        self._submit(lane, request_id, tenant, key, headers, tensors, rows, encode, reply)

    def _invoke(self, model: str | None, headers: Headers, body: bytes, reply: Reply) -> None:
        model = self._only() if model is None else unquoted(model)
        tenant = self._access.tenant(headers, model)
        lane, own = self._chosen(self._router.lane(model), None, headers)
        plain = self._plain_body(headers, body)

        def read(lane: Lane) -> Read:
            return (*decode_invocation(lane.version.contract, plain), None)

        lane, key, (tensors, rows, _) = self._read(lane, None, headers, own, read)
        contract = lane.version.contract
        request_id = self._identities.of(headers, "", own)
        extra = [(b"x-request-id", request_id.encode())]

        def encode(lane: Lane, answer: Answer) -> tuple[list[tuple[bytes, bytes]], bytes]:
            return extra, encode_predictions(contract, lane.outputs, answer)

        self._submit(lane, request_id, tenant, key, headers, tensors, rows, encode, reply)

    def _only(self) -> str:
        names = self._router.names()
        if len(names) != 1:
            live = ", ".join(names) or "none"
            raise NotFound(f"/invocations is for the one model that is live; live are {live}: POST to /models/NAME/invocations")
        return names[0]

    def _submit(
        self,
        lane: Lane,
        request_id: str,
        tenant: str,
        key: str,
        headers: Headers,
        tensors: dict[str, np.ndarray],
        rows: int,
        encode: Encode,
        reply: Reply,
    ) -> None:
        started = time.monotonic()
        seconds = self._patience(headers)

        def settled(outcome: Answer | ProdmlError) -> None:
            if isinstance(outcome, ProdmlError):
                status = outcome.http_status
                refuse(outcome, reply)
                release(pending)
            else:
                status = deliver(outcome, pending.lane, encode, reply)
            pending.lane.counted(pending, time.monotonic(), status)

        pending = Pending(request_id, key, tensors, rows, time.time(), started, settled, lane, tenant, started + seconds)
        self._enter(lane, pending)

    def _enter(self, lane: Lane, pending: Pending | PlainRequest) -> None:
        if lane.cached is not None:
            found = lane.cached.enter(pending, lane)
            if found is None:  # it waits for an equal one, and is swept with that one's lane
                return
            lane = pending.lane = found
        try:
            lane.submit(pending)
        except ProdmlError as error:  # the queue is full: routed, so it counts as the model's
            pending.settle(error)
            return
        self._late.watch(lane)

    def _chosen(self, lane: Lane, version: str | None, headers: Headers, identity: str = "") -> tuple[Lane, str]:
        """The lane that answers: while a canary runs the one of the routing key, or of an identity of the request's own.

        The identity is made here, since clients leave their ids empty or repeat them; it is the request's id where it has none.
        """
        if lane.split is None or version is not None:
            return (lane if lane.version.breaker.closed else lane.standing(named=version is not None)), ""
        own = identity or self._identities.made()
        if lane.split.by_rows:  # see `_read`
            return lane, own
        lane = lane.split.lane(headers.get(KEY) or own.encode())
        return (lane if lane.version.breaker.closed else lane.standing()), own

    def _read(
        self, lane: Lane, version: str | None, headers: Headers, own: str, read: Callable[[Lane], Read]
    ) -> tuple[Lane, str, Read]:
        """The lane that answers, the routing key, and what `read` makes of the request for that lane.

        Where its rows say who answers, they are read as the live version takes them first.
        """
        header, split = headers.get(KEY, b""), lane.split if version is None else None
        try:
            found = read(lane)
        except InvalidInput as error:
            drawn = lane if split is None else split.unread(header, own)
            self._rejected(error, drawn, own, header.decode("latin-1"))
            raise
        if split is None:
            return lane, header.decode("latin-1"), found
        placed, key = split.place(found[0], header, own)
        if placed is split.canary:
            try:
                found = read(placed)
            except InvalidInput as error:
                self._rejected(error, placed, own, key)
                raise
        lane = placed or lane
        return (lane if lane.version.breaker.closed else lane.standing()), key, found

    def _rejected(self, error: InvalidInput, lane: Lane | None, own: str, key: str) -> None:
        """Log a request that a version of a rollout does not take, so that the rollout can count it; others are nobody's."""
        if lane is None or not lane.allotted[0] or not self._identities.usable(key):
            return
        now, arm = time.monotonic(), "fallback" if lane.arm == "fallback" else "rejected"
        pending = Pending(own, key, {}, 1, time.time(), now, _nobody, lane)
        with contextlib.suppress(Unavailable):  # refused it is either way, and the log itself tells that it cannot be written
            self._log.write(lane.version, arm, [pending], {}, None, now=now, status=error.http_status, allotted=lane.allotted)

    def _plain_body(self, headers: Headers, body: bytes) -> bytes:
        encoding = headers.get(b"content-encoding")
        return body if encoding is None else unpacked(body, encoding, self._limits.body_bytes)

    def _patience(self, headers: Headers) -> float:
        """Seconds in which an answer is wanted: what the client says, at most the gateway's own bound."""
        given = headers.get(DEADLINE)
        if given is None:
            return self._limits.deadline
        if not given.isdigit() or len(given) > 12 or not int(given):
            raise InvalidInput(f"{DEADLINE.decode()} is {ascii(given)[2:-1][:30]}; send whole milliseconds, 1 or more")
        return min(int(given) / 1e3, self._limits.deadline)


def _nobody(_outcome: Answer | ProdmlError) -> None:
    """Takes the answer of a request that has got one."""
