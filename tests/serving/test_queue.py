"""A queue of several tenants: nobody's rows are lost or out of order, and a flood delays whoever sends it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import NamedTuple

import httpx
from homes import infer_body
from hypothesis import given
from hypothesis import strategies as st
from serving.test_access import made
from serving.test_gateway import Gateway
from serving.test_overload import URL, Slow
from versions import Placed

from prodml_magics.serving.limits import Limits
from prodml_magics.serving.queue import FairQueue
from prodml_magics.wire.routes import Route, Serving


class Waiting(NamedTuple):
    """A request."""

    tenant: str
    rows: int
    number: int = 0


def queue_of(*requests: Waiting) -> FairQueue[Waiting]:
    queue: FairQueue[Waiting] = FairQueue()
    for request in requests:
        queue.append(request)
    return queue


def drained(queue: FairQueue[Waiting]) -> list[Waiting]:
    found = []
    while queue:
        following = queue.peek()
        found.append(queue.popleft())
        assert found[-1] is following
    return found


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50)), max_size=60), st.integers(0, 60))
def test_each_request_comes_once_and_those_of_a_tenant_in_order(sent: list[tuple[str, int]], taken: int) -> None:
    requests = [Waiting(tenant, rows, number) for number, (tenant, rows) in enumerate(sent)]
    queue = queue_of(*requests)
    assert queue.rows == sum(rows for _, rows in sent)
    assert {tenant: queue.rows_of(tenant) for tenant in "abc"} == {
        tenant: sum(each.rows for each in requests if each.tenant == tenant) for tenant in "abc"
    }
    first = [queue.popleft() for _ in range(min(taken, len(requests)))]
    for each in reversed(first):
        queue.appendleft(each)
    assert sorted(queue, key=lambda each: each.number) == requests
    found = drained(queue)
    assert sorted(found, key=lambda each: each.number) == requests
    for tenant in "abc":
        own = [each.number for each in found if each.tenant == tenant]
        assert own == sorted(own)
    assert (queue.rows, queue.tenants) == (0, 0)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 50)), min_size=2, max_size=80))
def test_while_two_wait_neither_is_ahead_by_more_than_one_request(sent: list[tuple[str, int]]) -> None:
    queue = queue_of(*(Waiting(tenant, rows) for tenant, rows in sent))
    served: Counter[str] = Counter()
    while queue.tenants == 2:
        request = queue.popleft()
        served[request.tenant] += request.rows
        assert abs(served["a"] - served["b"]) <= 50


def test_who_comes_late_is_owed_nothing_for_the_time_before() -> None:
    queue = queue_of(*(Waiting("flood", 1, number) for number in range(100)))
    for _ in range(60):
        queue.popleft()
    for number in range(40):
        queue.append(Waiting("late", 1, number))
    order = [each.tenant for each in drained(queue)]
    assert Counter(order[:20]) == {"flood": 10, "late": 10}


def test_a_flood_of_one_token_leaves_the_other_its_half(placed: Placed) -> None:
    async def scenario() -> None:
        gateway = Gateway(placed.home, Limits())
        route = Route(model="cancer", revision=1, live=1, files=(placed.files,), serving=Serving(batch_rows=2))
        assert await gateway.router.apply({"cancer": route}, 1) == {}
        flood, calm = (made(placed.home, name, "predict") for name in ("flood", "calm"))
        gateway.access.follow()
        version = gateway.router.lane("cancer").version
        version.session = Slow(version.session, 0.004)  # type: ignore[assignment]
        version.seconds_per_row = version.seconds_per_run = 0.004
        body, order = infer_body(placed.rows[:1]), []

        transport = httpx.ASGITransport(app=gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:

            async def one(who: str, headers: dict[str, str]) -> None:
                assert (await client.post(URL, json=body, headers=headers)).status_code == 200
                order.append(who)

            floods = [asyncio.create_task(one("flood", flood)) for _ in range(100)]
            while len(order) < 4:
                await asyncio.sleep(0.001)
            await asyncio.gather(*(one("calm", calm) for _ in range(10)))
            before = len(order)
            await asyncio.gather(*floods)
        await gateway.router.close()
        assert before <= 40, "ten of each, and what ran or was on its way meanwhile"

    asyncio.run(scenario())


def test_a_full_queue_refuses_those_who_filled_it(placed: Placed) -> None:
    async def scenario() -> None:
        gateway = Gateway(placed.home, Limits(queue_rows=40))
        route = Route(model="cancer", revision=1, live=1, files=(placed.files,), serving=Serving(batch_rows=2))
        assert await gateway.router.apply({"cancer": route}, 1) == {}
        flood, calm = (made(placed.home, name, "predict") for name in ("flood", "calm"))
        gateway.access.follow()
        version = gateway.router.lane("cancer").version
        version.session = Slow(version.session, 0.004)  # type: ignore[assignment]
        version.seconds_per_row = version.seconds_per_run = 0.004
        body = infer_body(placed.rows[:1])

        transport = httpx.ASGITransport(app=gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:

            async def statuses(headers: dict[str, str], count: int) -> list[int]:
                sent = (client.post(URL, json=body, headers=headers) for _ in range(count))
                return [each.status_code for each in await asyncio.gather(*sent)]

            calms = asyncio.create_task(statuses(calm, 4))
            flooded = asyncio.create_task(statuses(flood, 120))
            assert await calms == [200] * 4
            while not flooded.done():
                assert await statuses(calm, 1) == [200], "there is room for whoever has not filled it"
            found = Counter(await flooded)
        await gateway.router.close()
        assert found[503] > 0 and found[200] + found[503] == 120

    asyncio.run(scenario())
