"""Answers from memory are the model's own answers, are told apart from them, and never outlive the version that gave them."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import httpx
import numpy as np
import pytest
from serving.test_gateway import URL, infer_body, serving
from versions import Placed, place

from prodml_magics.serving.cache import PredictionCache, row_keys
from prodml_magics.serving.limits import Limits
from prodml_magics.wire.routes import CanaryRoute, Route, Serving

CACHED = Serving(cache_bytes=1_000_000)


def arm(answer: httpx.Response) -> str:
    return answer.json()["parameters"]["arm"]


def test_the_second_time_the_answer_is_the_same_and_comes_from_the_cache(placed: Placed) -> None:
    async def scenario() -> None:
        async with serving(placed, serving=CACHED) as (gateway, client):
            for rows, again in ((placed.rows[:1], "cache"), (placed.rows[5:9], "cache")):
                first = await client.post(URL, json=infer_body(rows))
                second = await client.post(URL, json=infer_body(rows), headers={"x-request-id": "again"})
                assert (arm(first), arm(second)) == ("live", again)
                assert second.json()["outputs"] == first.json()["outputs"]
                assert second.headers["x-request-id"] == "again"
            named = dict(zip((column.name for column in placed.contract.columns), map(float, placed.rows[0]), strict=True))
            assert arm(await client.post("/predict/cancer", json=named)) == "cache", "what counts are the values, not the form"
            blocks = [(block.arm, block.rows, block.status) for block in gateway.blocks()]
            assert blocks == [
                ("live", 1, [200]),
                ("cache", 1, [200]),
                ("live", 4, [200]),
                ("cache", 4, [200]),
                ("cache", 1, [200]),
            ]
            page = gateway.metrics.page().decode()
            assert 'prodml_cache_hits_total{model="cancer"} 6.0' in page
            assert 'prodml_requests_total{arm="cache",model="cancer",status="200",version="1"} 3.0' in page
            (stats,) = (await gateway.catalog.statistics("cancer", "1"))["model_stats"]
            assert stats["inference_stats"]["cache_hit"]["count"] == 3
            assert stats["inference_stats"]["success"]["count"] == 5
            assert (stats["inference_count"], stats["execution_count"]) == (5, 2), "rows and runs of the model"

    asyncio.run(scenario())


def test_equal_requests_at_once_run_once(placed: Placed) -> None:
    runs: list[int] = []
    release = threading.Event()

    async def scenario() -> None:
        async with serving(placed, serving=CACHED, limits=Limits(inline_seconds=0)) as (gateway, client):
            version = gateway.router.lane("cancer").version
            honest = version.run

            def slow(tensors: Any) -> Any:
                runs.append(len(tensors["input"]))
                release.wait(10)
                return honest(tensors)

            version.run = slow  # type: ignore[method-assign]
            same = [asyncio.create_task(client.post(URL, json=infer_body(placed.rows[:1]))) for _ in range(20)]
            while not runs:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.02)
            release.set()
            answers = await asyncio.gather(*same)
            assert runs == [1]
            assert sorted(map(arm, answers)) == ["cache"] * 19 + ["live"]
            assert len({str(answer.json()["outputs"]) for answer in answers}) == 1

    asyncio.run(scenario())


def test_when_the_one_that_runs_fails_the_others_are_tried(placed: Placed) -> None:
    failures = 2

    async def scenario() -> None:
        async with serving(placed, serving=CACHED, limits=Limits(inline_seconds=0)) as (gateway, client):
            version = gateway.router.lane("cancer").version
            honest, runs = version.run, 0

            def flaky(tensors: Any) -> Any:
                nonlocal runs
                runs += 1
                if runs <= failures:
                    time.sleep(0.02)
                    raise RuntimeError("not now")
                return honest(tensors)

            version.run = flaky  # type: ignore[method-assign]
            answers = await asyncio.gather(*(client.post(URL, json=infer_body(placed.rows[:1])) for _ in range(10)))
            statuses = sorted(answer.status_code for answer in answers)
            assert statuses == [200] * 8 + [500] * 2
            assert sum(len(block.status) for block in gateway.blocks()) == 10

    asyncio.run(scenario())


def test_one_that_waits_is_given_up_at_its_own_deadline(placed: Placed) -> None:
    release = threading.Event()

    async def scenario() -> None:
        async with serving(placed, serving=CACHED, limits=Limits(inline_seconds=0)) as (gateway, client):
            version = gateway.router.lane("cancer").version
            honest = version.run
            version.run = lambda tensors: (release.wait(10), honest(tensors))[1]  # type: ignore[method-assign]
            patient = asyncio.create_task(client.post(URL, json=infer_body(placed.rows[:1])))
            await asyncio.sleep(0.02)
            hurried = await client.post(URL, json=infer_body(placed.rows[:1]), headers={"x-prodml-deadline-ms": "100"})
            assert hurried.status_code == 504
            release.set()
            assert (await patient).status_code == 200
            assert sorted(status for block in gateway.blocks() for status in block.status) == [200, 504]

    asyncio.run(scenario())


def test_a_new_version_answers_by_itself_and_a_changed_shadow_forgets_nothing(placed: Placed) -> None:
    other = place(placed.home, "cancer", 2, c=1e-4)

    async def scenario() -> None:
        async with serving(placed, serving=CACHED) as (gateway, client):
            await client.post(URL, json=infer_body(placed.rows[:1]))
            same = Route(model="cancer", revision=2, live=1, previous=2, files=(placed.files, other.files), serving=CACHED)
            await gateway.router.apply({"cancer": same}, 2)
            assert arm(await client.post(URL, json=infer_body(placed.rows[:1]))) == "cache"
            after = Route(model="cancer", revision=3, live=2, previous=1, files=(placed.files, other.files), serving=CACHED)
            await gateway.router.apply({"cancer": after}, 3)
            answer = await client.post(URL, json=infer_body(placed.rows[:1]))
            assert (arm(answer), answer.json()["model_version"]) == ("live", "2")
            found = answer.json()["outputs"][1]["data"]
            assert np.allclose(found, other.model.predict_proba(placed.rows[:1])[0], atol=1e-5)
            await gateway.router.apply({"cancer": Route(model="cancer", revision=4, live=2, files=(other.files,))}, 4)
            assert arm(await client.post(URL, json=infer_body(placed.rows[:1]))) == "live", "without the flag nothing is kept"

    asyncio.run(scenario())


def test_while_a_canary_runs_nothing_comes_from_the_cache(placed: Placed) -> None:
    other = place(placed.home, "cancer", 2, c=0.01)
    canary = CanaryRoute(2, 0.5, "salt", 7)

    async def scenario() -> None:
        route = {"files": (placed.files, other.files), "canary": canary, "serving": CACHED}
        async with serving(placed, **route) as (_, client):
            arms = {arm(await client.post(URL, json=infer_body(placed.rows[:1]))) for _ in range(30)}
            assert arms == {"live", "canary"}

    asyncio.run(scenario())


def test_under_concurrency_every_row_gets_its_own_answer(placed: Placed) -> None:
    rng = np.random.default_rng(0)
    expected = placed.model.predict_proba(placed.rows)[:, 1]

    async def scenario() -> None:
        async with serving(placed, serving=Serving(cache_bytes=20_000)) as (gateway, client):

            async def one(index: int, count: int) -> None:
                answer = await client.post(URL, json=infer_body(placed.rows[index : index + count]))
                found = np.array(answer.json()["outputs"][1]["data"]).reshape(-1, 2)[:, 1]
                assert np.allclose(found, expected[index : index + count], atol=1e-5)

            for _ in range(20):
                await asyncio.gather(*(one(*pair) for pair in rng.integers((0, 1), (60, 4), (20, 2)).tolist()))
            cache = gateway.metrics.caches["cancer"]
            assert cache.hits > 100
            assert cache.evicted > 0
            assert cache.bytes <= 20_000

    asyncio.run(scenario())


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


def outputs(values: list[float]) -> dict[str, np.ndarray]:
    return {"label": np.array([f"l{v}" for v in values], object), "p": np.array([[v, 1 - v] for v in values], np.float32)}


def test_what_is_kept_comes_back_bit_for_bit_until_its_time_is_over(clock: list[float]) -> None:
    cache = PredictionCache(10_000, 60.0, lambda: clock[0])
    cache.keep([b"a", b"b", b"c"], outputs([0.25, float("nan"), 0.1]), 0.3)
    assert cache.has([b"c", b"a"])
    found = cache.answers([b"c", b"a"])
    assert found is not None
    assert found["label"].tolist() == ["l0.1", "l0.25"]
    assert found["p"].tobytes() == outputs([0.1, 0.25])["p"].tobytes()
    assert not cache.has([b"a", b"b"]), "a row with NaN is not kept"
    clock[0] = 60.0
    assert not cache.has([b"a"])
    assert (cache.hits, cache.misses) == (2, 3)


def test_the_least_recently_used_goes_first(clock: list[float]) -> None:
    cache = PredictionCache(1_600, 60.0, lambda: clock[0])
    for key in (b"a", b"b", b"c"):
        cache.keep([key], {"p": np.zeros(1, np.float32)}, 0.0)
    assert cache.has([b"a"])
    cache.keep([b"d", b"e"], {"p": np.zeros(2, np.float32)}, 0.0)
    assert [cache.has([key]) for key in (b"a", b"b", b"c", b"d", b"e")] == [True, False, False, True, True]


def test_keys_tell_rows_apart() -> None:
    texts = np.array([["a", "bc"], ["ab", "c"], ["a", None], ["a", ""]], object)
    numbers = np.array([[1.0], [1.0], [1.0], [1.0]], np.float32)
    assert len(set(row_keys({"numeric": numbers, "categorical": texts}))) == 4
    assert row_keys({"x": numbers}) == [np.float32(1).tobytes()] * 4
