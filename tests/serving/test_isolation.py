"""What somebody else made answers from a process of its own until it is live, and is tried before it may come into the worker."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import msgspec
import numpy as np
import pytest
from serving.test_gateway import URL, infer_body, serving
from versions import Placed, place

from prodml_magics.contract.samples import write_samples
from prodml_magics.errors import GateRefused
from prodml_magics.inference.isolated import IsolatedSession, TimedOutputs
from prodml_magics.inference.session import Session
from prodml_magics.serving.timed import run_timed
from prodml_magics.serving.version import load_version
from prodml_magics.wire.routes import CanaryRoute, Route, ShadowRoute

PINNED = "/v2/models/cancer/versions/2/infer"


def test_a_candidate_that_crashes_costs_its_own_requests_and_moves_in_once_it_is_live(placed: Placed) -> None:
    other = place(placed.home, "cancer", 2, c=0.01)
    foreign = msgspec.structs.replace(other.files, isolate=True)
    body = infer_body(placed.rows[:1])

    async def scenario() -> None:
        files = (placed.files, foreign)
        async with serving(placed, files=files, canary=CanaryRoute(2, 0.5, "salt", 1)) as (gateway, client):
            lane = gateway.router.lane("cancer", 2)
            isolated = lane.version.session
            assert isinstance(isolated, IsolatedSession)
            assert isinstance(gateway.router.lane("cancer").version.session, Session)
            answer = await client.post(PINNED, json=body)
            found = answer.json()["outputs"][1]["data"]
            assert np.allclose(found, other.model.predict_proba(placed.rows[:1])[0], atol=1e-5)
            assert (await client.get("/v2/models/cancer/versions/2")).json()["platform"] == "onnx_onnxv1"
            os.kill(isolated.pid or 0, signal.SIGSEGV)
            failed, live = (
                await client.post(PINNED, json=body),
                await client.post(URL.replace("/infer", "/versions/1/infer"), json=body),
            )
            assert (failed.status_code, live.status_code) == (500, 200)
            assert "its process died (it was ended by SIGSEGV)" in failed.json()["error"]
            assert (await client.post(PINNED, json=body)).status_code == 200, "it is started anew"
            await gateway.router.hold("cancer", Route("cancer", 2, live=2, files=(foreign,)).file(2))
            promoted = Route("cancer", 2, live=2, previous=1, files=files)
            assert await gateway.router.apply({"cancer": promoted}, 2) == {}
            assert isinstance(gateway.router.lane("cancer").version.session, Session)
            assert isolated.pid is None, "its process has ended"
            await gateway.router.close()

    asyncio.run(scenario())


def test_a_version_is_reserved_in_one_place_and_long_runs_are_told_of_where_they_matter(placed: Placed) -> None:
    other = place(placed.home, "cancer", 2, work=20).files
    apart = msgspec.structs.replace(other, isolate=True)

    async def scenario() -> None:
        async with serving(placed) as (gateway, _):
            router = gateway.router
            inside, quick = await router.hold("cancer", other), await router.hold("cancer", placed.files)
            assert (router.long_seconds(inside) or 0) > 0.003 and router.long_seconds(quick) is None
            outside = await router.hold("cancer", apart)
            assert router.long_seconds(outside) is None, "it holds nobody up"
            route = Route("cancer", 2, live=1, shadows=(ShadowRoute(2, 1.0),), files=(placed.files, apart))
            assert await router.apply({"cancer": route}, 2) == {}
            assert {each.version: each.session.isolated for each in router.versions()} == {1: False, 2: True}
            assert len(router.versions()) == 2, "the one in the worker was let go"
            await router.close()

    asyncio.run(scenario())


def test_a_version_that_fails_in_the_process_that_tries_it_never_comes_into_the_worker(
    placed: Placed, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    other = place(placed.home, "cancer", 2, fails=22.0)
    samples = write_samples({"input": placed.rows[placed.rows[:, 0] > 22][:2]}, {"label": np.zeros(2, np.int64)})
    (placed.home / other.files.folder / "samples.json").write_bytes(samples)
    files = msgspec.structs.replace(other.files, samples_sha256=hashlib.sha256(samples).hexdigest())

    def opened(*_: Any, **__: Any) -> Any:
        raise AssertionError("it was opened in the worker")

    monkeypatch.setattr("prodml_magics.serving.version.open_session", opened)
    with pytest.raises(GateRefused, match="cancer@2 is not loaded: the model failed its first run"):
        load_version("cancer", files, placed.home, untried=True)


def test_what_an_isolated_run_takes_is_told_without_the_way_there_and_back(placed: Placed) -> None:
    files = msgspec.structs.replace(place(placed.home, "cancer", 2, work=30).files, isolate=True)
    version = load_version("cancer", files, placed.home)
    try:
        outputs, seconds = run_timed(version, {"input": placed.rows[:1]}, 1)
        assert isinstance(outputs, TimedOutputs)
        assert 0 < seconds == outputs.seconds <= version.seconds_per_run * 100
    finally:
        version.close()
