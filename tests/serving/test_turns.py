"""Who of several lanes runs first is drawn anew in each turn, so that the second place is nobody's."""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from typing import Any

import httpx
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
