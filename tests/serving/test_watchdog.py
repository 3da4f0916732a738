"""A model that hangs costs its own requests: it is ended, in a thread or on the event loop, and the worker goes on."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest
from serving.test_gateway import URL, infer_body, serving
from versions import Placed, place

from prodml_magics.serving.limits import Limits
from prodml_magics.serving.watchdog import Watchdog


@pytest.fixture
def hanging(tmp_path) -> Placed:
    """Never ends on rows whose first column is above 1000."""
    return place(tmp_path, "cancer", 1, hangs=1000.0)


def bad_row(placed: Placed) -> np.ndarray:
    row = placed.rows[:1].copy()
    row[0, 0] = 2000.0
    return row


def running(gateway) -> int:
    return len(gateway.router.lane("cancer").version.session._runs._running)


def test_a_run_in_a_thread_is_ended_at_the_deadline_of_its_requests(hanging: Placed) -> None:
    async def scenario() -> None:
        async with serving(hanging, limits=Limits(inline_seconds=0)) as (gateway, client):
            headers = {"x-prodml-deadline-ms": "200"}
            answer = await client.post(URL, json=infer_body(bad_row(hanging)), headers=headers)
            assert answer.status_code == 504
            deadline = time.monotonic() + 5
            while running(gateway) and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            assert running(gateway) == 0, "the thread is free again"
            good = await client.post(URL, json=infer_body(hanging.rows[:2]))
            assert good.json()["outputs"][0]["data"] == hanging.model.predict(hanging.rows[:2]).tolist()
            await gateway.router.close()

    asyncio.run(scenario())


def test_a_run_that_hangs_on_the_loop_is_ended_and_its_neighbours_are_answered(hanging: Placed) -> None:
    limits = Limits(inline_limit=0.2)

    async def scenario() -> None:
        async with serving(hanging, limits=limits) as (gateway, client):
            watchdog = Watchdog(gateway.router.versions, limits, threading.get_ident())
            gateway.router.lane("cancer").version.seconds_per_run = 1e-4
            bad = client.post(URL, json=infer_body(bad_row(hanging)))
            others = [client.post(URL, json=infer_body(hanging.rows[i : i + 1])) for i in range(6)]
            failed, *answered = await asyncio.gather(bad, *others)
            assert failed.status_code == 504
            assert [each.status_code for each in answered] == [200] * 6
            labels = [each.json()["outputs"][0]["data"][0] for each in answered]
            assert labels == hanging.model.predict(hanging.rows[:6]).tolist()
            statuses = sorted(status for block in gateway.blocks() for status in block.status)
            assert statuses == [200] * 6 + [504], "each is logged once"
            await gateway.router.close()
            watchdog.close()

    asyncio.run(scenario())


def test_runs_of_other_threads_and_fresh_runs_are_left_alone(hanging: Placed) -> None:
    from prodml_magics.inference.runs import RunEnded
    from prodml_magics.inference.session import open_session

    session = open_session((hanging.home / hanging.files.folder / "model.onnx").read_bytes(), device="cpu")
    found: list[Exception] = []

    def hang() -> None:
        try:
            session.run({"input": bad_row(hanging)})
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=hang)
    thread.start()
    while not session._runs._running:
        pass
    assert session.end_runs(lambda _thread, started: time.monotonic() - started > 60) == 0
    assert session.run({"input": hanging.rows[:1]})["label"].shape == (1,)
    assert session.end_runs(lambda which, _started: which == thread.ident) == 1
    thread.join()
    assert isinstance(found[0], RunEnded)
    assert session.run({"input": hanging.rows[:1]})["label"].shape == (1,), "its options are not used again"
