"""Who of several lanes runs first is drawn anew in each turn, so that the second place is nobody's."""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from homes import infer_body
from scipy import stats
from serving.test_gateway import Gateway
from serving.test_overload import URL
from versions import Placed, place

from prodml_magics.serving.limits import Limits
from prodml_magics.serving.turns import Turns
from prodml_magics.wire.routes import CanaryRoute, Route


def test_each_order_of_three_is_as_frequent_and_everyone_has_one_turn() -> None:
    seen: dict[str, int] = {}

    async def scenario() -> None:
        turns = Turns(seed=7)
        for _ in range(600):
            order: list[str] = []
            for name in "abc":
                turns.soon(partial(order.append, name))
            await asyncio.sleep(0)
            seen["".join(order)] = seen.get("".join(order), 0) + 1

    asyncio.run(scenario())
    assert sorted(seen) == ["abc", "acb", "bac", "bca", "cab", "cba"]
    assert stats.chisquare(list(seen.values())).pvalue > 1e-3


def test_what_is_asked_for_in_a_turn_comes_in_the_next_and_a_fault_stops_nobody() -> None:
    async def scenario() -> list[str]:
        loop, done, told = asyncio.get_running_loop(), [], []
        loop.set_exception_handler(lambda _loop, context: told.append(str(context["exception"])))
        turns = Turns(seed=1)

        def again() -> None:
            done.append("first")
            turns.soon(lambda: done.append("second"))

        def fails() -> None:
            raise RuntimeError("broken")

        turns.soon(fails)
        turns.soon(again)
        await asyncio.sleep(0)
        assert done == ["first"]
        await asyncio.sleep(0)
        assert told == ["broken"]
        return done

    assert asyncio.run(scenario()) == ["first", "second"]


def test_nobody_replies_before_all_have_run() -> None:
    async def scenario() -> list[str]:
        done: list[str] = []
        turns = Turns(seed=1)

        def run(name: str) -> None:
            done.append("run")
            turns.reply(lambda: done.append("reply " + name))

        for name in "ab":
            turns.soon(partial(run, name))
        await asyncio.sleep(0)
        run("c")  # in no turn: what comes back from a thread
        return done

    done = asyncio.run(scenario())
    assert done[:2] == ["run", "run"]
    assert sorted(done[2:4]) == ["reply a", "reply b"]
    assert done[4:] == ["run", "reply c"]


def test_of_very_many_requests_the_first_do_not_wait_for_the_last_to_be_read() -> None:
    async def scenario() -> list[int]:
        turns, waiting, taken = Turns(seed=1), [], []

        def turn() -> None:
            taken.append(len(waiting))
            waiting.clear()

        for number in range(150):
            if not waiting:
                turns.soon(turn)
            waiting.append(number)
            turns.entered()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return taken

    assert asyncio.run(scenario()) == [64, 64, 22]


def test_what_no_other_can_join_has_its_turn_at_once_and_what_it_leaves_has_the_next() -> None:
    async def scenario() -> list[Any]:
        turns, done = Turns(seed=1), []

        def fails_first() -> None:
            done.append("run")
            if len(done) == 1:
                turns.soon(fails_first)  # as a request that is tried again
            turns.reply(lambda: done.append("reply"))

        turns.lone = True
        turns.soon(fails_first)
        turns.entered()
        done.append(turns.lone)
        await asyncio.sleep(0)
        for _ in range(300):
            turns.lone = True
            turns.soon(lambda: None)
            turns.entered()
        return [*done, turns.pass_seconds()]

    assert asyncio.run(scenario()) == ["run", "reply", False, "run", "reply", 0.0]


def test_one_that_comes_alone_takes_along_what_waits_already() -> None:
    async def scenario() -> list[str]:
        turns, done = Turns(seed=1), []
        turns.soon(lambda: done.append("gRPC"))
        turns.entered()
        turns.lone = True
        turns.soon(lambda: done.append("HTTP"))
        turns.entered()
        done.sort()
        await asyncio.sleep(0)
        return done

    assert asyncio.run(scenario()) == ["HTTP", "gRPC"]


def test_a_pass_over_the_connections_is_long_when_many_requests_make_it_so(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("prodml_magics.serving.turns.time", SimpleNamespace(monotonic=lambda: now[0]))

    async def scenario() -> list[float]:
        turns, found = Turns(seed=1), []

        def read(requests: int, each: float) -> None:
            for _ in range(requests):
                turns.soon(lambda: None)
                turns.entered()
                now[0] += each
            found.append(turns.pass_seconds())

        read(10, 0.5)  # the machine stood still: whom to refuse for that?
        await asyncio.sleep(0)
        read(200, 0.001)
        await asyncio.sleep(0)
        found.append(turns.pass_seconds())
        return found

    assert asyncio.run(scenario()) == pytest.approx([0.0, 0.2, 0.0])


class Watched:
    """Tells when it runs."""

    device, isolated = "cpu", False

    def __init__(self, session: Any, version: int, order: list[int]) -> None:
        self.session, self.version, self.order = session, version, order

    def run(self, tensors: Any) -> Any:
        self.order.append(self.version)
        return self.session.run(tensors)

    def close(self) -> None:
        self.session.close()


def test_the_arms_of_a_split_are_first_equally_often(placed: Placed) -> None:
    order: list[int] = []
    other = place(placed.home, "cancer", 2, c=0.001)
    route = Route("cancer", 1, 1, files=(placed.files, other.files), canary=CanaryRoute(2, 0.5, "cancer/3", 3))

    async def scenario() -> None:
        gateway = Gateway(placed.home, Limits())
        assert await gateway.router.apply({"cancer": route}, 1) == {}
        for number in (1, 2):
            version = gateway.router.lane("cancer", number).version
            version.session = Watched(version.session, number, order)
        transport = httpx.ASGITransport(app=gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            body = infer_body(placed.rows[:1])
            for _ in range(100):
                order.append(0)
                await asyncio.gather(*(client.post(URL, json=body) for _ in range(8)))
        await gateway.router.close()

    asyncio.run(scenario())
    turns = [after for before, after in itertools.pairwise(order) if before == 0]
    assert len(order) > 250, "both arms ran in nearly every turn"
    assert stats.binomtest(turns.count(1), len(turns)).pvalue > 1e-3
