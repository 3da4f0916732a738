"""The methods of ``inference.GRPCInferenceService``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from inspect import isawaitable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from prodml_magics.errors import ProdmlError
from prodml_magics.serving.access import Access
from prodml_magics.serving.catalog import Catalog
from prodml_magics.serving.metadata import server_metadata
from prodml_magics.serving.predict import DEADLINE, Predictor
from prodml_magics.serving.rpc import messages as m
from prodml_magics.serving.rpc.codec import decode_request, encode_raw, encode_response
from prodml_magics.serving.rpc.codes import code_of, message_of
from prodml_magics.serving.rpc.known import KnownMessages

__all__ = ["SERVICE", "Service"]

SERVICE = "inference.GRPCInferenceService"
_OPEN = ("ServerLive", "ServerReady", "ServerMetadata")
"""What needs no token."""
_STREAM_AHEAD = 64
"""Requests of one stream that may be on their way at once; a client that sends more waits."""
_KEPT = {name: name.encode() for name in ("x-prodml-key", "x-request-id", "authorization")}
_LONGEST = 1e9
"""Milliseconds; a deadline beyond is none."""
_EMPTY_FINAL = "triton_enable_empty_final_response"
Context = Any
Reply = tuple[int, bytes]


class Service:
    """Messages in, messages out; predictions through `predictor`, everything else from `catalog`."""

    def __init__(self, predictor: Predictor, catalog: Catalog, access: Access) -> None:
        self._predictor = predictor
        self._catalog = catalog
        self._access = access
        self._known = KnownMessages()

    def handler(self) -> grpc.GenericRpcHandler:
        """Every method under its name, for a ``grpc.aio`` server."""
        unary: dict[str, tuple[Any, Callable[[Any], Any]]] = {
            "ServerLive": (m.ServerLiveRequest, lambda _: m.ServerLiveResponse(live=True)),
            "ServerReady": (m.ServerReadyRequest, lambda _: m.ServerReadyResponse(ready=self._catalog.ready)),
            "ServerMetadata": (m.ServerMetadataRequest, lambda _: m.ServerMetadataResponse(**server_metadata())),
            "ModelReady": (m.ModelReadyRequest, self._model_ready),
            "ModelMetadata": (m.ModelMetadataRequest, self._metadata),
            "ModelConfig": (m.ModelConfigRequest, self._config),
            "ModelStatistics": (m.ModelStatisticsRequest, self._statistics),
            "RepositoryIndex": (m.RepositoryIndexRequest, self._index),
        }
        methods = {name: _unary(partial(self._answer, kind, ask, name not in _OPEN)) for name, (kind, ask) in unary.items()}
        methods["ModelInfer"] = _unary(self._infer)
        methods["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._stream)
        load, unload = self._catalog.load, self._catalog.unload
        for name, kind, done, act in (
            ("RepositoryModelLoad", m.RepositoryModelLoadRequest, m.RepositoryModelLoadResponse(), load),
            ("RepositoryModelUnload", m.RepositoryModelUnloadRequest, m.RepositoryModelUnloadResponse(), unload),
        ):
            methods[name] = _unary(partial(self._change, kind, done.SerializeToString(), act))
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def _infer(self, data: bytes, context: Context) -> bytes:
        waiting = self._taken(data, context)
        if waiting is not None:
            status, payload = await waiting
        else:
            message = await _parsed(m.ModelInferRequest, data, context)
            status, payload = await self._submit(message, context, encode_response)
            if status == 200:
                self._known.learn(data, message)
        if status != 200:
            await context.abort(code_of(status), message_of(payload))
        return payload

    def _taken(self, data: bytes, context: Context) -> asyncio.Future[Reply] | None:
        """The reply to come to a message that begins as one did that was parsed before; none where it has to be parsed."""
        found = self._known.find(data)
        if found is None:
            return None
        known, request_id, packed = found
        call = _Call()
        taken = self._predictor.infer_raw(
            known.model, known.number, known.form, request_id, packed, _headers(context), call, encode_raw
        )
        return call.waiting if taken else None

    def _submit(self, message: Any, context: Context, encode: Callable[..., bytes]) -> asyncio.Future[Reply]:
        call = _Call()
        self._predictor.infer_with(
            message.model_name,
            message.model_version or None,
            _headers(context),
            partial(decode_request, message),
            encode,
            call.reply,
        )
        return call.waiting

    async def _stream(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        ahead: asyncio.Queue[Awaitable[Reply] | None] = asyncio.Queue(_STREAM_AHEAD)

        async def read() -> None:
            async for data in requests:
                await ahead.put(self._streamed(data, context))
            await ahead.put(None)

        reading = asyncio.create_task(read())
        try:
            while (waiting := await ahead.get()) is not None:
                status, payload = await waiting
                refused = status != 200
                yield m.ModelStreamInferResponse(error_message=message_of(payload)).SerializeToString() if refused else payload
        finally:
            reading.cancel()

    def _streamed(self, data: bytes, context: Context) -> Awaitable[Reply]:
        try:
            message = m.ModelInferRequest.FromString(data)
        except DecodeError:
            refused: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
            refused.set_result((400, b'{"error":"the message is no ModelInferRequest"}'))
            return refused
        final = message.parameters[_EMPTY_FINAL].bool_param if _EMPTY_FINAL in message.parameters else False
        return self._submit(message, context, partial(_stream_response, final))

    def _model_ready(self, message: Any) -> Any:
        try:
            self._catalog.lane(message.name, message.version)
        except ProdmlError as error:
            if error.http_status != 503:
                raise
            return m.ModelReadyResponse(ready=False)
        return m.ModelReadyResponse(ready=True)

    def _metadata(self, message: Any) -> Any:
        found = self._catalog.metadata(message.name, message.version)
        del found["parameters"]
        return m.ModelMetadataResponse(**found)

    def _config(self, message: Any) -> Any:
        return m.ModelConfigResponse(config=self._catalog.config(message.name, message.version))

    async def _statistics(self, message: Any) -> Any:
        return m.ModelStatisticsResponse(**await self._catalog.statistics(message.name, message.version))

    def _index(self, message: Any) -> Any:
        return m.RepositoryIndexResponse(models=self._catalog.index(ready=message.ready))

    async def _answer(self, kind: Any, ask: Callable[[Any], Any], guarded: bool, data: bytes, context: Context) -> bytes:
        message = await _parsed(kind, data, context)
        try:
            if guarded:
                self._access.tenant(_headers(context), getattr(message, "name", "") or None)
            answer = ask(message)
            return (await answer if isawaitable(answer) else answer).SerializeToString()
        except ProdmlError as error:
            await context.abort(code_of(error.http_status), str(error))
            raise  # abort has raised already

    async def _change(self, kind: Any, done: bytes, act: Callable[..., Awaitable[None]], data: bytes, context: Context) -> bytes:
        message = await _parsed(kind, data, context)
        try:
            self._access.check_admin(_headers(context))
            await act(message.model_name, dict(message.parameters))
        except ProdmlError as error:
            await context.abort(code_of(error.http_status), str(error))
        return done


class _Call:
    """Waits for the reply to one request."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def reply(self, status: int, _extra: list[tuple[bytes, bytes]], payload: bytes) -> None:
        """Take the reply."""
        if not self.waiting.done():  # the client may have gone away
            self.waiting.set_result((status, payload))

    def answer(self, _request_id: str, body: bytes) -> None:
        """Take an answer."""
        self.reply(200, [], body)


def _unary(method: Callable[..., Awaitable[bytes]]) -> grpc.RpcMethodHandler:
    # Bytes in and out: what grpc says of a message that it cannot read would be INTERNAL, and it is the client's fault.
    return grpc.unary_unary_rpc_method_handler(method)


async def _parsed(kind: Any, data: bytes, context: Context) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"the message is no {kind.DESCRIPTOR.name}")


def _stream_response(final: bool, *answered: Any) -> bytes:
    response = m.ModelInferResponse.FromString(encode_response(*answered))
    if final:
        response.parameters["triton_final_response"].bool_param = True
    return m.ModelStreamInferResponse(infer_response=response).SerializeToString()


def _headers(context: Context) -> dict[bytes, bytes]:
    """What the core reads of the metadata, and the deadline of the call."""
    found = {}
    for key, value in context.invocation_metadata() or ():
        if key in _KEPT:
            found[_KEPT[key]] = value.encode()
    left = context.time_remaining()
    if left is not None:
        found[DEADLINE] = b"%d" % min(max(left * 1e3, 0), _LONGEST)
    return found
