"""A version that keeps failing is not asked for a while; who answers in its place is said in answer, log and status."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest
from homes import infer_body
from hypothesis import given
from hypothesis import strategies as st
from serving.test_gateway import Gateway
from versions import Placed, place

from prodml_magics.serving.breaker import Breaker, BreakerRules
from prodml_magics.serving.limits import Limits
from prodml_magics.wire.routes import CanaryRoute, Route, Serving

URL = "/v2/models/cancer/infer"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock, **rules: Any) -> Breaker:
    breaker = Breaker(BreakerRules(**rules), clock)
    breaker.took(0, breaker._rules.failures)
    return breaker


@given(outcomes=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=30))
def test_it_opens_exactly_when_enough_of_the_latest_requests_failed(outcomes: list[tuple[int, int]]) -> None:
    breaker = Breaker(BreakerRules(window=20, failures=10), Clock())
    history: list[bool] = []
    for succeeded, failed in outcomes:
        history += [False] * succeeded + [True] * failed
        breaker.took(succeeded, failed)
        assert breaker.closed == (sum(history[-20:]) < 10)
        if not breaker.closed:
            break


def test_half_open_admits_exactly_the_probes_and_closes_when_all_succeed() -> None:
    clock = Clock()
    breaker = opened(clock, probes=3, pause=2)
    assert (breaker.state, breaker.admits()) == ("open", False)
    clock.now = 2
    assert breaker.state == "half-open"
    assert [breaker.admits() for _ in range(10)] == [True] * 3 + [False] * 7
    breaker.took(2, 0)
    assert not breaker.closed
    breaker.took(1, 0)
    assert breaker.state == "closed"
    breaker.took(0, 9)
    assert breaker.closed, "what was before the trial is forgotten"


def test_a_failed_probe_doubles_the_pause_up_to_the_longest() -> None:
    clock = Clock()
    breaker = opened(clock, pause=2, longest_pause=5)
    for pause in (4, 5, 5):
        clock.now += 100
        assert breaker.admits()
        breaker.took(0, 1)
        clock.now += pause - 0.01
        assert not breaker.admits()
        clock.now += 0.02
        assert breaker.state == "half-open"


def test_what_was_sent_before_it_opened_neither_closes_it_nor_makes_its_pause_longer() -> None:
    clock = Clock()
    breaker = opened(clock, probes=3, pause=2)
    for _ in range(20):
        breaker.took(5, 0)
        breaker.took(0, 5)
    assert (breaker.state, breaker.admits()) == ("open", False)
    clock.now = 2
    assert [breaker.admits() for _ in range(4)] == [True] * 3 + [False]
    breaker.took(2, 1)
    breaker.took(3, 0)
    assert breaker.state == "open"
    clock.now = 5.9
    assert not breaker.admits()
    clock.now = 6
    assert breaker.admits()


def test_probes_that_never_come_back_do_not_keep_it_shut_for_ever() -> None:
    clock = Clock()
    breaker = opened(clock, pause=2, probes=1)
    clock.now = 2
    assert [breaker.admits(), breaker.admits()] == [True, False]
    clock.now = 4
    assert breaker.admits()


class Failing:
    """Stands where a session does; fails while told to."""

    device = "cpu"
    isolated = False

    def __init__(self, session: Any) -> None:
        self.session = session
        self.how = "throws"

    def run(self, tensors: Any) -> Any:
        if self.how == "throws":
            raise RuntimeError("broken weights")
        outputs = self.session.run(tensors)
        if self.how == "nan":
            outputs["probabilities"] = np.full_like(outputs["probabilities"], np.nan)
        return outputs

    def close(self) -> None:
        self.session.close()


def served(placed: Placed, route: Route, scenario: Any) -> None:
    async def whole() -> None:
        gateway = Gateway(placed.home, Limits())
        assert await gateway.router.apply({"cancer": route}, 1) == {}
        version = gateway.router.lane("cancer", 2).version
        version.session = failing = Failing(version.session)
        clock = Clock()
        version.breaker = gateway.metrics.breakers["cancer", "2"] = Breaker(monotonic=clock)
        transport = httpx.ASGITransport(app=gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            await scenario(gateway, client, failing, clock)
        await gateway.router.close()

    asyncio.run(whole())


@pytest.mark.parametrize("how", ["throws", "nan"])
def test_the_previous_version_answers_until_the_live_one_has_recovered(placed: Placed, how: str) -> None:
    other = place(placed.home, "cancer", 2, c=0.1)
    route = Route(model="cancer", revision=1, live=2, previous=1, files=(placed.files, other.files))

    async def scenario(gateway: Gateway, client: Any, failing: Failing, clock: Clock) -> None:
        failing.how = how
        body = infer_body(placed.rows[:1])
        for _ in range(10):
            assert (await client.post(URL, json=body)).status_code == (500 if how == "throws" else 200)
        answer = (await client.post(URL, json=body)).json()
        assert (answer["model_version"], answer["parameters"]["arm"]) == ("1", "fallback")
        assert answer["outputs"][1]["data"] == pytest.approx(placed.model.predict_proba(placed.rows[:1])[0], abs=1e-5)
        (report,) = gateway.router.report()
        assert report.problem == "version 2 keeps failing; version 1 answers in its place"
        assert (await client.post("/v2/models/cancer/versions/2/infer", json=body)).status_code == 503
        page = (await client.get("/metrics")).text
        assert 'prodml_breaker_open{model="cancer",version="2"} 1.0' in page
        assert 'prodml_breaker_open{model="cancer",version="1"} 0.0' in page
        failing.how = "well"
        clock.now = 2
        arms = [(await client.post(URL, json=body)).json()["parameters"]["arm"] for _ in range(5)]
        assert arms == ["live"] * 5
        assert gateway.router.report()[0].problem is None
        logged = [(block.arm, block.version, block.status[0]) for block in gateway.blocks()]
        assert logged.count(("fallback", 1, 200)) == 1
        assert logged.count(("live", 2, 500 if how == "throws" else 200)) == (10 if how == "throws" else 15)

    served(placed, route, scenario)


def test_without_a_version_to_answer_in_its_place_it_is_503(placed: Placed) -> None:
    other = place(placed.home, "cancer", 2, c=0.1)

    async def scenario(gateway: Gateway, client: Any, failing: Failing, clock: Clock) -> None:
        body = infer_body(placed.rows[:1])
        statuses = [(await client.post(URL, json=body)).status_code for _ in range(12)]
        assert statuses == [500] * 10 + [503] * 2
        answer = await client.post("/predict/cancer", json={"mean radius": 1})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "keeps failing and is not asked" in answer.json()["error"]
        (report,) = gateway.router.report()
        assert report.traffic.requests == 10 and 0.3 <= report.traffic.refused_per_second <= 3

    served(placed, Route(model="cancer", revision=1, live=2, files=(other.files,)), scenario)


def test_the_order_is_the_version_before_then_the_baseline_then_the_declared_default_then_none(placed: Placed) -> None:
    other, rule = place(placed.home, "cancer", 2, c=0.1), place(placed.home, "cancer", 3, c=1e-6)
    said = '{"label": 1, "probabilities": [0.25, 0.75]}'

    async def scenario(gateway: Gateway, client: Any, failing: Failing, clock: Clock) -> None:
        body = infer_body(placed.rows[:2])
        for _ in range(10):
            assert (await client.post(URL, json=body)).status_code == 500
        found = []
        for failed in (1, 3, None):
            answer = (await client.post(URL, json=body)).json()
            found.append((answer["model_version"], answer["parameters"]["arm"], gateway.router.report()[0].problem))
            if failed is not None:
                gateway.router.lane("cancer", failed).version.breaker.took(0, 10)
        answers = "version 2 keeps failing; {} answers in its place"
        assert found == [
            ("1", "fallback", answers.format("version 1")),
            ("3", "fallback", answers.format("version 3")),
            ("2", "fallback", answers.format("the declared default")),
        ]
        assert [each["data"] for each in answer["outputs"]] == [[1, 1], [0.25, 0.75, 0.25, 0.75]]
        assert [(block.version, block.arm) for block in gateway.blocks()[-3:]] == [
            (1, "fallback"),
            (3, "fallback"),
            (2, "fallback"),
        ]
        assert (await client.post("/v2/models/cancer/versions/2/infer", json=body)).status_code == 503, "that one and no other"

    serving = Serving(baseline=3, default=said)
    files = (placed.files, other.files, rule.files)
    served(placed, Route(model="cancer", revision=1, live=2, previous=1, files=files, serving=serving), scenario)


def test_a_declared_default_that_is_none_of_the_version_is_said_and_stands_in_for_nobody(placed: Placed) -> None:
    other = place(placed.home, "cancer", 2, c=0.1)

    async def scenario(gateway: Gateway, client: Any, failing: Failing, clock: Clock) -> None:
        assert "the declared default is none of version 2: --default 7 is no class" in str(gateway.router.report()[0].problem)
        statuses = [(await client.post(URL, json=infer_body(placed.rows[:1]))).status_code for _ in range(12)]
        assert statuses == [500] * 10 + [503] * 2

    served(placed, Route(model="cancer", revision=1, live=2, files=(other.files,), serving=Serving(default="7")), scenario)


@pytest.mark.parametrize(("low", "high", "opens"), [(0.0, 1.0, False), (0.0, 0.4, True), (-1.0, float("inf"), False)])
def test_answers_out_of_their_range_count_as_failures(placed: Placed, low: float, high: float, opens: bool) -> None:
    other = place(placed.home, "cancer", 2, c=0.1)

    async def scenario(gateway: Gateway, client: Any, failing: Failing, clock: Clock) -> None:
        failing.how = "well"
        statuses = [(await client.post(URL, json=infer_body(placed.rows[:1]))).status_code for _ in range(12)]
        assert statuses == ([200] * 10 + [503] * 2 if opens else [200] * 12)

    route = Route(model="cancer", revision=1, live=2, files=(other.files,), serving=Serving(output_range=(low, high)))
    served(placed, route, scenario)


def test_bad_requests_are_nobodys_failure(placed: Placed) -> None:
    other = place(placed.home, "cancer", 2, c=0.1)

    async def scenario(gateway: Gateway, client: Any, failing: Failing, clock: Clock) -> None:
        failing.how = "well"
        for _ in range(30):
            assert (await client.post(URL, json={"inputs": []})).status_code == 400
        assert (await client.post(URL, json=infer_body(placed.rows[:1]))).status_code == 200

    served(placed, Route(model="cancer", revision=1, live=2, files=(other.files,)), scenario)


def test_the_live_version_answers_for_a_canary_that_keeps_failing(placed: Placed) -> None:
    other = place(placed.home, "cancer", 2, c=0.1)
    canary = CanaryRoute(version=2, share=1.0, salt="s", rollout=7)
    route = Route(model="cancer", revision=1, live=1, canary=canary, files=(placed.files, other.files))

    async def scenario(gateway: Gateway, client: Any, failing: Failing, clock: Clock) -> None:
        body = infer_body(placed.rows[:1])
        for _ in range(10):
            assert (await client.post(URL, json=body)).status_code == 500
        answer = (await client.post(URL, json=body)).json()
        assert (answer["model_version"], answer["parameters"]["arm"]) == ("1", "fallback")

    served(placed, route, scenario)
