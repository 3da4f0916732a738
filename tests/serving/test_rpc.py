"""gRPC around models that are slow, throw, or cannot be logged, in process."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from serving.test_gateway import URL, Gateway, infer_body, serving
from versions import Placed, place

from prodml_magics.serving.catalog import Catalog
from prodml_magics.serving.follow import Follower
from prodml_magics.serving.limits import Limits
from prodml_magics.serving.rpc import messages as m
from prodml_magics.serving.rpc.server import listen
from prodml_magics.storage.ledger import Ledger, sqlite_url
from prodml_magics.wire.routes import CanaryRoute

METHOD = "/inference.GRPCInferenceService/ModelInfer"


@asynccontextmanager
async def listening(placed: Placed, route: dict[str, Any] | None = None, **limits: Any) -> AsyncIterator[tuple[Gateway, Any]]:
    """The gateway, and a function that sends one request over gRPC."""
    bounds = Limits(**limits)
    async with serving(placed, limits=bounds, **(route or {})) as (gateway, _):
        follower = Follower(Ledger(sqlite_url(placed.home / "ledger.db")), gateway.router, gateway.access)
        catalog = Catalog(gateway.router, follower, gateway.metrics)
        server, port = await listen("127.0.0.1:0", gateway.predictor, catalog, gateway.access, bounds)
        async with _channel(port) as channel, _channel(port) as other:

            async def ask(rows: np.ndarray, *, again: bool = False, **options: Any) -> Any:
                request = m.ModelInferRequest(model_name="cancer", raw_input_contents=[rows.astype("<f4").tobytes()])
                request.inputs.add(name="input", datatype="FP32", shape=rows.shape)
                answer = await (other if again else channel).unary_unary(METHOD)(request.SerializeToString(), **options)
                return m.ModelInferResponse.FromString(answer)

            yield gateway, ask
        await server.stop(None)


def _channel(port: int) -> grpc.aio.Channel:
    """A channel with a connection of its own."""
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])


def replace(gateway: Gateway, run: Callable[[Any, Any], Any]) -> None:
    """Have `run`, which is given the honest session and the tensors, answer in place of the model."""
    version = gateway.router.lane("cancer").version
    honest = version.session

    class Other:
        device = "cpu"
        isolated = False

        def run(self, tensors: Any) -> Any:
            return run(honest, tensors)

        def close(self) -> None:
            honest.close()

    version.session = Other()  # type: ignore[assignment]


async def code_of(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


def test_the_deadline_of_the_client_ends_the_request_and_it_is_logged_once(placed: Placed) -> None:
    release = threading.Event()

    def slow(honest: Any, tensors: Any) -> Any:
        release.wait(20)
        return honest.run(tensors)

    async def scenario() -> None:
        async with listening(placed, inline_seconds=0) as (gateway, ask):
            replace(gateway, slow)
            code, _ = await code_of(ask(placed.rows[:2], timeout=0.2))
            assert code == grpc.StatusCode.DEADLINE_EXCEEDED
            while not gateway.blocks():
                await asyncio.sleep(0.01)
            release.set()
            await gateway.router.close()
            (block,) = gateway.blocks()
            assert (block.status, block.rows, block.outputs) == ([504], 2, None)

    asyncio.run(scenario())


def test_the_gateways_own_bound_holds_for_a_client_without_a_deadline(placed: Placed) -> None:
    release = threading.Event()

    async def scenario() -> None:
        async with listening(placed, inline_seconds=0, deadline=0.1) as (gateway, ask):
            replace(gateway, lambda honest, tensors: (release.wait(20), honest.run(tensors))[1])
            code, said = await code_of(ask(placed.rows[:1]))
            assert (code, "within 0.1 s" in said) == (grpc.StatusCode.DEADLINE_EXCEEDED, True)
            release.set()
            await gateway.router.close()

    asyncio.run(scenario())


def test_a_throwing_model_is_internal_and_a_full_disk_is_unavailable(placed: Placed) -> None:
    def throws(_honest: Any, _tensors: Any) -> Any:
        raise RuntimeError("no rows today")

    async def scenario() -> None:
        async with listening(placed) as (gateway, ask):
            full = gateway.home / "full"
            full.symlink_to("/dev/full")
            gateway.writer._descriptor = os.open(full, os.O_WRONLY)
            code, said = await code_of(ask(placed.rows[:1]))
            assert (code, "request log" in said) == (grpc.StatusCode.UNAVAILABLE, True)
            assert (await ask(placed.rows[:1])).model_version == "1"
            replace(gateway, throws)
            code, said = await code_of(ask(placed.rows[:1]))
            assert (code, "no rows today" in said) == (grpc.StatusCode.INTERNAL, True)

    asyncio.run(scenario())


def test_calls_beyond_the_bound_are_refused_at_once(placed: Placed) -> None:
    release = threading.Event()

    async def scenario() -> None:
        async with listening(placed, inline_seconds=0, grpc_calls=4) as (gateway, ask):
            replace(gateway, lambda honest, tensors: (release.wait(20), honest.run(tensors))[1])
            waiting = [asyncio.create_task(ask(placed.rows[:1])) for _ in range(4)]
            while gateway.router.lane("cancer").idle:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            code, _ = await code_of(ask(placed.rows[:1], again=True, timeout=5))
            assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
            release.set()
            assert [each.model_version for each in await asyncio.gather(*waiting)] == ["1"] * 4

    asyncio.run(scenario())


def test_requests_of_http_and_grpc_run_together(placed: Placed) -> None:
    import httpx
    from serving.test_gateway import URL, infer_body

    async def scenario() -> None:
        async with listening(placed) as (gateway, ask):
            transport = httpx.ASGITransport(app=gateway.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                calls = [ask(placed.rows[index : index + 1]) for index in range(50)]
                posts = [client.post(URL, json=infer_body(placed.rows[index : index + 1])) for index in range(50)]
                found = await asyncio.gather(*calls, *posts)
        expected = placed.model.predict_proba(placed.rows[:50])
        rpc = [np.frombuffer(each.raw_output_contents[1], "<f4") for each in found[:50]]
        rest = [each.json()["outputs"][1]["data"] for each in found[50:]]
        np.testing.assert_allclose(rpc, expected, atol=1e-5)
        np.testing.assert_allclose(rest, expected, atol=1e-5)
        assert len(gateway.blocks()) < 100

    asyncio.run(scenario())


def test_a_routing_key_gets_the_same_version_over_either_protocol(placed: Placed) -> None:
    other = place(placed.home, "cancer", 2, c=0.01)
    route = {"canary": CanaryRoute(2, share=0.3, salt="s", rollout=1), "files": (placed.files, other.files)}

    async def scenario() -> None:
        async with listening(placed, route) as (gateway, ask):
            transport = httpx.ASGITransport(app=gateway.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                for number in range(60):
                    key = {"x-prodml-key": f"user-{number}"}
                    answer = await client.post(URL, json=infer_body(placed.rows[:1]), headers=key)
                    version = (await ask(placed.rows[:1], metadata=tuple(key.items()))).model_version
                    assert version == answer.json()["model_version"]
                    versions.add(version)
            assert versions == {"1", "2"}

    versions: set[str] = set()
    asyncio.run(scenario())


def test_a_row_of_a_key_column_gets_the_same_version_over_either_protocol(placed: Placed) -> None:
    other = place(placed.home, "cancer", 2, c=0.01)
    canary = CanaryRoute(2, share=0.3, salt="s", rollout=1, key="mean radius")
    versions = set()

    async def scenario() -> None:
        async with listening(placed, {"canary": canary, "files": (placed.files, other.files)}) as (gateway, ask):
            transport = httpx.ASGITransport(app=gateway.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                for number in range(40):
                    rows = placed.rows[number : number + 1]
                    answer = await client.post(URL, json=infer_body(rows))
                    version = (await ask(rows)).model_version
                    assert version == answer.json()["model_version"]
                    versions.add(version)
            assert versions == {"1", "2"}
            logged = [block for block in gateway.blocks() if block.rollout]
            assert sum(map(len, (block.keys for block in logged))) == 80 and "" not in {
                key for block in logged for key in block.keys
            }

    asyncio.run(scenario())


def test_a_deadline_of_years_is_none_and_an_unusable_key_is_refused(placed: Placed) -> None:
    async def scenario() -> None:
        async with listening(placed) as (_, ask):
            assert (await ask(placed.rows[:1], timeout=1e9)).model_version == "1"
            code, said = await code_of(ask(placed.rows[:1], metadata=(("x-prodml-key", "k" * 201),)))
            assert (code, "x-prodml-key" in said) == (grpc.StatusCode.INVALID_ARGUMENT, True)

    asyncio.run(scenario())


def test_the_server_is_ready_only_once_its_models_are(placed: Placed) -> None:
    async def scenario() -> None:
        async with serving(placed) as (gateway, client):
            follower = Follower(Ledger(sqlite_url(placed.home / "ledger.db")), gateway.router, gateway.access)
            catalog = Catalog(gateway.router, follower, gateway.metrics)
            server, port = await listen("127.0.0.1:0", gateway.predictor, catalog, gateway.access, Limits())
            async with _channel(port) as channel:
                for ready in (False, True):
                    catalog.ready = gateway.catalog.ready = ready
                    answer = await channel.unary_unary(METHOD.replace("ModelInfer", "ServerReady"))(b"")
                    assert m.ServerReadyResponse.FromString(answer).ready is ready
                    assert (await client.get("/v2/health/ready")).status_code == (200 if ready else 503)
            await server.stop(None)

    asyncio.run(scenario())
