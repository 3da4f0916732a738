"""The two predict routes as bare ASGI: bytes in, the core, bytes out. Everything else goes on to the inner application."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

import msgspec
import numpy as np

from prodml_magics.contract.check import check_tensors
from prodml_magics.contract.encode import encode_rows, widen
from prodml_magics.contract.schema import Contract
from prodml_magics.errors import InvalidInput, ProdmlError, TooLarge
from prodml_magics.serving.batcher import Lane
from prodml_magics.serving.limits import Limits
from prodml_magics.serving.log import RequestLog
from prodml_magics.serving.metrics import Metrics
from prodml_magics.serving.openinference import InferRequest, decode_request, encode_response
from prodml_magics.serving.requests import Answer, Pending
from prodml_magics.serving.router import Router

__all__ = ["DeadlineExceeded", "Front"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger(__name__)
_INFER = re.compile(r"/v2/models/(?P<model>[^/]{1,300})(?:/versions/(?P<version>[^/]{1,20}))?/infer\Z")
_PREDICT = re.compile(r"/predict/(?P<model>[^/]{1,300})\Z")
_JSON = [(b"content-type", b"application/json")]


class DeadlineExceeded(ProdmlError):
    """No answer within the deadline."""

    http_status = 504


class Front:
    """ASGI application: the predict routes here, all others in `inner`."""

    def __init__(self, router: Router, metrics: Metrics, log: RequestLog, limits: Limits, inner: App) -> None:
        self._router = router
        self._metrics = metrics
        self._log = log
        self._limits = limits
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._inner(scope, receive, send)
            return
        path = scope["path"]
        if match := _INFER.match(path):
            await self._answer(scope, receive, send, match, self._infer)
        elif match := _PREDICT.match(path):
            await self._answer(scope, receive, send, match, self._predict)
        else:
            await self._inner(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, match: re.Match[str], handle: Callable[..., Any]) -> None:
        extra: list[tuple[bytes, bytes]] = []
        try:
            headers = dict(scope["headers"])
            body = await self._body(receive, headers)
            status = 200
            extra, payload = await handle(headers, body, **match.groupdict())
        except ProdmlError as error:
            status, payload = error.http_status, _error(error)
        except Exception:  # the last net: a fault of ours is a 500 with no inner detail, and the traceback goes to the log
            _log.exception("a request failed")
            status, payload = 500, b'{"error":"the gateway failed on this request; see gateway.log"}'
        if status == 503:
            extra = [(b"retry-after", b"1")]
        await send({"type": "http.response.start", "status": status, "headers": [*_JSON, _length(payload), *extra]})
        await send({"type": "http.response.body", "body": payload})

    async def _body(self, receive: Receive, headers: dict[bytes, bytes]) -> bytes:
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:20]) > self._limits.body_bytes:
            raise self._too_large()
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise InvalidInput("the client went away before its request was whole")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._limits.body_bytes:
                raise self._too_large()
            chunks.append(chunk)
            if not message.get("more_body"):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _too_large(self) -> TooLarge:
        self._metrics.refused.labels("413").inc()
        return TooLarge(f"the body is larger than {self._limits.body_bytes >> 20} MiB; send fewer rows in one request")

    async def _infer(self, headers: dict[bytes, bytes], body: bytes, model: str, version: str | None) -> tuple[list[Any], bytes]:
        with self._counting():
            lane = self._router.lane(unquote(model), _version(version))
            request = decode_request(body, _header_length(headers))
            contract = lane.version.contract
            _check_outputs(request, contract)
            tensors = widen(contract, request.tensors)
            rows = check_tensors(contract, tensors)
            request_id = self._identity(headers, request.id)
        answer = await self._run(lane, request_id, headers, tensors, rows)
        payload, json_length = encode_response(_head(lane, answer, request_id), answer.outputs, request)
        extra = [(b"x-request-id", request_id.encode())]
        if json_length is not None:
            extra.append((b"inference-header-content-length", str(json_length).encode()))
        return extra, payload

    async def _predict(self, headers: dict[bytes, bytes], body: bytes, model: str) -> tuple[list[Any], bytes]:
        with self._counting():
            lane = self._router.lane(unquote(model))
            rows = _rows(body)
            if not lane.version.contract.columns:
                raise InvalidInput(
                    f"{lane.version.model} has no named columns; POST tensors to /v2/models/{lane.version.model}/infer"
                )
            tensors = encode_rows(lane.version.contract, rows)
            request_id = self._identity(headers, "")
        answer = await self._run(lane, request_id, headers, tensors, len(rows))
        predictions = _predictions(lane.version.contract, answer.outputs, len(rows))
        payload = msgspec.json.encode({**_head(lane, answer, request_id), "predictions": predictions})
        return [(b"x-request-id", request_id.encode())], payload

    async def _run(
        self, lane: Lane, request_id: str, headers: dict[bytes, bytes], tensors: dict[str, np.ndarray], rows: int
    ) -> Answer:
        loop = asyncio.get_running_loop()
        pending = Pending(
            request_id,
            headers.get(b"x-prodml-key", b"").decode("latin-1"),
            tensors,
            rows,
            time.time(),
            time.monotonic(),
            loop.create_future(),
        )
        model, number, arm = lane.version.model, lane.version.version, lane.arm
        status = 200
        try:
            lane.submit(pending)
            async with asyncio.timeout(self._limits.deadline):
                return await pending.future
        except TimeoutError:
            status = DeadlineExceeded.http_status
            pending.abandoned = True
            now = time.monotonic()
            self._log.write(lane.version, arm, [pending], tensors, None, now=now, status=status)
            raise DeadlineExceeded(
                f"{model} did not answer within {self._limits.deadline:g} s; send fewer rows, or deploy a faster version"
            ) from None
        except ProdmlError as error:
            status = error.http_status
            raise
        finally:
            seconds = time.monotonic() - pending.started
            self._metrics.answered(model, number, arm, rows, seconds, status)
            self._router.traffic(model).count(rows, seconds, failed=status >= 500)

    def _counting(self) -> _Counting:
        return _Counting(self._metrics)

    def _identity(self, headers: dict[bytes, bytes], given: str) -> str:
        """The request's id, made here where the client gave none; refuses ids and routing keys that are unusable."""
        self._text(headers.get(b"x-prodml-key", b""), "x-prodml-key")
        text = given or self._text(headers.get(b"x-request-id", b""), "x-request-id")
        if len(text) > self._limits.id_length or not text.isprintable():
            raise InvalidInput(f"a request id is at most {self._limits.id_length} printable characters")
        return text or secrets.token_hex(8)

    def _text(self, value: bytes, name: str) -> str:
        if len(value) > self._limits.id_length or not value.isascii():
            raise InvalidInput(f"{name} is at most {self._limits.id_length} ASCII characters")
        return value.decode()


class _Counting:
    """Counts what is refused before it is routed."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ProdmlError):
            self._metrics.refused.labels(str(error.http_status)).inc()


def _version(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise InvalidInput(f"{ascii(text)[:30]} is not a version number")
    return int(text)


def _header_length(headers: dict[bytes, bytes]) -> int | None:
    value = headers.get(b"inference-header-content-length")
    if value is None:
        return None
    if not value.isdigit() or len(value) > 12:
        raise InvalidInput("Inference-Header-Content-Length is not a length in bytes")
    return int(value)


def _check_outputs(request: InferRequest, contract: Contract) -> None:
    known = [tensor.name for tensor in contract.outputs]
    for name in request.outputs:
        if name not in known:
            raise InvalidInput(f"there is no output {ascii(name)[:60]}; outputs are {', '.join(known)}")


def _rows(body: bytes) -> list[dict[str, Any]]:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f'the body is not JSON ({error}); send {{"column": value, …}} or a list of such rows') from error
    rows = [value] if isinstance(value, dict) else value
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise InvalidInput('send one row as {"column": value, …} or a list of at least one such row')
    return rows


def _predictions(contract: Contract, outputs: dict[str, np.ndarray], rows: int) -> list[dict[str, Any]]:
    lists = {name: values.tolist() for name, values in outputs.items()}
    if contract.task == "classification" and contract.classes and "probabilities" in lists:
        names = [str(each) for each in contract.classes]
        lists["probabilities"] = [dict(zip(names, row, strict=True)) for row in lists["probabilities"]]
    return [{name: values[row] for name, values in lists.items()} for row in range(rows)]


def _head(lane: Lane, answer: Answer, request_id: str) -> dict[str, Any]:
    return {
        "model_name": lane.version.model,
        "model_version": str(answer.version),
        "id": request_id,
        "parameters": {"arm": answer.arm},
    }


def _error(error: ProdmlError) -> bytes:
    return msgspec.json.encode({"error": str(error)})


def _length(payload: bytes) -> tuple[bytes, bytes]:
    return b"content-length", str(len(payload)).encode()
