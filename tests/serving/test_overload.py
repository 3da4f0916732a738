"""More than can be answered in time is refused early, and what is accepted is answered in time."""

from __future__ import annotations

import asyncio
import math
import time
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from homes import infer_body
from serving.test_gateway import Gateway
from versions import Placed

from prodml_magics.errors import Overloaded
from prodml_magics.serving.limits import Limits, limits_for
from prodml_magics.wire.routes import Route, Serving

URL = "/v2/models/cancer/infer"


class Slow:
    """Takes a stated time for each row."""

    device = "cpu"
    isolated = False

    def __init__(self, session: Any, seconds: float) -> None:
        self.session, self.seconds = session, seconds
        self.batches: list[int] = []
        self.lane: Any = None

    def run(self, tensors: Any) -> Any:
        rows = len(tensors["input"])
        self.batches.append(rows)
        time.sleep(self.seconds * rows)
        return self.session.run(tensors)

    def close(self) -> None:
        self.session.close()


def served(placed: Placed, serving: Serving, seconds: float, scenario: Any) -> None:
    async def whole() -> None:
        gateway = Gateway(placed.home, Limits())
        route = Route(model="cancer", revision=1, live=1, files=(placed.files,), serving=serving)
        assert await gateway.router.apply({"cancer": route}, 1) == {}
        version = gateway.router.lane("cancer").version
        version.session = slow = Slow(version.session, seconds)
        version.seconds_per_row = version.seconds_per_run = seconds
        transport = httpx.ASGITransport(app=gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            slow.lane = gateway.router.lane("cancer")
            await scenario(client, slow)
        await gateway.router.close()

    asyncio.run(whole())


def test_with_an_objective_what_would_come_too_late_is_refused_at_once_and_the_rest_comes_in_time(placed: Placed) -> None:
    body = infer_body(placed.rows[:1])

    async def scenario(client: httpx.AsyncClient, slow: Slow) -> None:
        async def one() -> tuple[int, float, httpx.Response]:
            started = time.monotonic()
            answer = await client.post(URL, json=body)
            return answer.status_code, time.monotonic() - started, answer

        found = await asyncio.gather(*(one() for _ in range(200)))
        accepted = [seconds for status, seconds, _ in found if status == 200]
        refused = [answer for status, _, answer in found if status == 503]
        assert len(accepted) + len(refused) == 200
        assert 5 <= len(accepted) <= 60
        assert max(accepted) < 2.0, "an objective of 0.5 s, with room for a busy machine"
        assert max(slow.batches) <= 13, "a run takes at most half of the objective"
        assert int(refused[0].headers["retry-after"]) >= 1
        assert "send fewer rows a second" in refused[0].json()["error"]

    served(placed, Serving(slo_p99_ms=500), 0.02, scenario)


def test_the_clients_own_deadline_refuses_early_as_well(placed: Placed) -> None:
    async def scenario(client: httpx.AsyncClient, _slow: Slow) -> None:
        patient = asyncio.create_task(client.post(URL, json=infer_body(placed.rows[:30])))
        await asyncio.sleep(0.05)
        started = time.monotonic()
        hurried = await client.post(URL, json=infer_body(placed.rows[:1]), headers={"x-prodml-deadline-ms": "100"})
        assert hurried.status_code == 503
        assert time.monotonic() - started < 0.2
        assert (await patient).status_code == 200

    served(placed, Serving(), 0.02, scenario)


def test_what_the_loop_does_between_two_runs_is_part_of_what_is_expected(placed: Placed, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("prodml_magics.serving.pace.time", SimpleNamespace(monotonic=lambda: now[0]))

    def works(_batch: object) -> None:
        now[0] += 0.15  # longer than seven runs

    async def scenario(client: httpx.AsyncClient, slow: Slow) -> None:
        lane = slow.lane
        lane._answered = works
        answers = await asyncio.gather(*(client.post(URL, json=infer_body(placed.rows[:1])) for _ in range(12)))
        assert {answer.status_code for answer in answers} == {200}
        running = asyncio.create_task(client.post(URL, json=infer_body(placed.rows[:1])))
        while not lane.busy:
            await asyncio.sleep(0)
        assert lane.version.expected_seconds(9) < 0.7, "by runs alone there would be time"
        with pytest.raises(Overloaded, match="has 1 rows before this"):
            lane.check_room(math.inf, 8)
        lane.check_room(math.inf, 1)
        assert (await running).status_code == 200

    served(placed, Serving(slo_p99_ms=1000, batch_rows=1), 0.02, scenario)


def test_what_waits_too_long_to_be_read_is_refused(placed: Placed) -> None:
    async def scenario(client: httpx.AsyncClient, slow: Slow) -> None:
        passed = [0.0]
        slow.lane._turns.pass_seconds = lambda: passed[0]  # type: ignore[method-assign]
        assert (await client.post(URL, json=infer_body(placed.rows[:1]))).status_code == 200
        passed[0] = 0.6
        answer = await client.post(URL, json=infer_body(placed.rows[:1]))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "waits 0.6 s to be read" in answer.json()["error"]

    served(placed, Serving(slo_p99_ms=1000), 0.0, scenario)


def test_a_large_request_is_refused_before_it_is_read(placed: Placed) -> None:
    head = b"{no!"
    junk = head + bytes(4 * 30 * 100)
    headers = {"inference-header-content-length": str(len(head))}

    async def scenario(client: httpx.AsyncClient, _slow: Slow) -> None:
        assert (await client.post(URL, content=junk, headers=headers)).status_code == 400
        first = asyncio.create_task(client.post(URL, json=infer_body(placed.rows[:5])))
        await asyncio.sleep(0.03)
        assert (await client.post(URL, content=junk, headers=headers)).status_code == 503, "100 rows by its size"
        assert (await client.post(URL, content=junk[:1000], headers=headers)).status_code == 400, "few rows: read, and wrong"
        assert (await first).status_code == 200

    served(placed, Serving(slo_p99_ms=1000), 0.02, scenario)


def test_a_batch_is_as_large_as_the_model_is_told(placed: Placed) -> None:
    async def scenario(client: httpx.AsyncClient, slow: Slow) -> None:
        answers = await asyncio.gather(*(client.post(URL, json=infer_body(placed.rows[:1])) for _ in range(40)))
        assert {answer.status_code for answer in answers} == {200}
        assert max(slow.batches) <= 4

    served(placed, Serving(batch_rows=4), 0.005, scenario)


@pytest.mark.parametrize(("serving", "objective", "rows"), [(Serving(), float("inf"), 1024), (Serving(20, 8), 0.02, 8)])
def test_a_models_own_limits_stand_for_the_gateways(serving: Serving, objective: float, rows: int) -> None:
    found = limits_for(serving, Limits())
    assert (found.objective, found.batch_rows, found.queue_rows) == (objective, rows, 16_384)
