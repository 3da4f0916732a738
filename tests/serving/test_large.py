"""Requests of more rows than a run may have come back whole and in order, and hold nobody else up for longer than a part."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import httpx
import numpy as np
import pytest
from homes import infer_body
from serving.test_gateway import Gateway
from serving.test_overload import URL, Slow
from versions import Placed

from prodml_magics.serving.limits import Limits
from prodml_magics.wire.routes import Route, Serving


def served(placed: Placed, scenario: Any, batch_rows: int = 8, run_seconds: float = 0.0) -> None:
    async def whole() -> None:
        gateway = Gateway(placed.home, Limits())
        route = Route("cancer", 1, live=1, files=(placed.files,), serving=Serving(batch_rows=batch_rows))
        assert await gateway.router.apply({"cancer": route}, 1) == {}
        version = gateway.router.lane("cancer").version
        version.session = slow = Slow(version.session, run_seconds)  # type: ignore[assignment]
        transport = httpx.ASGITransport(app=gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            await scenario(gateway, client, slow)
        await gateway.router.close()

    asyncio.run(whole())


@pytest.mark.parametrize("seed", range(3))
def test_rows_and_answers_keep_their_places_whatever_comes_at_once(placed: Placed, seed: int) -> None:
    rng = random.Random(seed)
    sizes = [rng.choice([1, 2, 7, 8, 9, 16, 23, 60]) for _ in range(60)]
    starts = [rng.randrange(len(placed.rows) - size) for size in sizes]

    async def scenario(gateway: Gateway, client: httpx.AsyncClient, slow: Slow) -> None:
        async def one(number: int) -> None:
            rows = placed.rows[starts[number] : starts[number] + sizes[number]]
            answer = (await client.post(URL, json=infer_body(rows, f"r{number}"))).json()
            found = {each["name"]: each["data"] for each in answer["outputs"]}
            assert answer["id"] == f"r{number}"
            assert found["label"] == placed.model.predict(rows).tolist()
            assert found["probabilities"] == pytest.approx(placed.model.predict_proba(rows).ravel(), abs=1e-5)

        await asyncio.gather(*(one(number) for number in range(len(sizes))))
        assert max(slow.batches) <= 8 and sum(slow.batches) == sum(sizes)
        logged = [
            (id_, count) for block in gateway.blocks() for id_, count in zip(block.request_ids, block.request_rows, strict=True)
        ]
        assert sorted(logged) == sorted((f"r{number}", size) for number, size in enumerate(sizes))

    served(placed, scenario)


def test_a_small_request_waits_for_one_part_and_not_for_all(placed: Placed) -> None:
    async def scenario(_gateway: Gateway, client: httpx.AsyncClient, slow: Slow) -> None:
        large = asyncio.create_task(client.post(URL, json=infer_body(placed.rows[:80])))
        while not slow.batches:
            await asyncio.sleep(0.001)
        for _ in range(3):
            assert (await client.post(URL, json=infer_body(placed.rows[:1]))).status_code == 200
        assert not large.done(), "ten parts of 16 ms"
        second = asyncio.create_task(client.post(URL, json=infer_body(placed.rows[80:160])))
        found = [(await each).json()["outputs"][0]["data"] for each in (large, second)]
        assert found == [placed.model.predict(placed.rows[at : at + 80]).tolist() for at in (0, 80)]
        assert max(slow.batches) <= 8

    served(placed, scenario, run_seconds=0.002)


def test_when_a_part_fails_the_whole_request_does_and_nothing_of_it_counts_as_answered(placed: Placed) -> None:
    async def scenario(gateway: Gateway, client: httpx.AsyncClient, slow: Slow) -> None:
        honest = slow.session

        class Fails:
            def run(self, tensors: Any) -> Any:
                if tensors["input"][0, 0] == np.float32(placed.rows[16, 0]):
                    raise RuntimeError("broken weights")
                return honest.run(tensors)

            def close(self) -> None:
                honest.close()

        slow.session = Fails()
        failed = await client.post(URL, json=infer_body(placed.rows[:24]))
        assert failed.status_code == 500 and "broken weights" in failed.json()["error"]
        assert (await client.post(URL, json=infer_body(placed.rows[:16]))).status_code == 200
        assert [(block.status, block.request_rows) for block in gateway.blocks()] == [([500], [24]), ([200], [16])]

    served(placed, scenario)


def test_one_that_nobody_waits_for_any_more_is_dropped_between_its_parts(placed: Placed) -> None:
    async def scenario(gateway: Gateway, client: httpx.AsyncClient, slow: Slow) -> None:
        late = await client.post(URL, json=infer_body(placed.rows[:80]), headers={"x-prodml-deadline-ms": "60"})
        assert late.status_code in (503, 504)
        await gateway.router.lane("cancer").drained()
        ran = sum(slow.batches)
        assert ran < 80
        assert (await client.post(URL, json=infer_body(placed.rows[:1]))).status_code == 200

    served(placed, scenario, run_seconds=0.004)
