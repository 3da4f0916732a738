"""A shadow never harms live traffic: bounded, counted, capped, and left out once it has crashed the process."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from homes import wait_for
from kernel import LONG_SLICES, slice_of
from versions import Placed, place

from prodml_magics.serving.batch import Batch
from prodml_magics.serving.limits import Limits
from prodml_magics.serving.marker import ShadowMarker
from prodml_magics.serving.metrics import Metrics
from prodml_magics.serving.requests import Pending
from prodml_magics.serving.router import Router
from prodml_magics.serving.shadow import Mirrored, ShadowLane
from prodml_magics.wire.routes import Route, ShadowRoute


class Stub:
    """A version whose run takes as long as the test says."""

    model, version, marker, pid = "cancer", 2, None, None

    def __init__(self, run: Any) -> None:
        self.run = run

    def expected_seconds(self, rows: int) -> float:
        """A millisecond a row."""
        return rows * 1e-3

    def measured(self, rows: int, seconds: float) -> None:
        """Nothing is learned from a stub."""


def batch(first: int, rows: int, requests: int = 1) -> Batch:
    pending = [Pending(f"r{first}", "", {}, rows, 0.0, 0.0, None, None) for _ in range(requests)]  # type: ignore[arg-type]
    values = np.arange(first, first + rows * requests, dtype=np.float32).reshape(-1, 1)
    return Batch(pending, {"input": values}, {}, first)


@pytest.mark.parametrize("bound", [{"shadow_rows": 10}, {"shadow_batches": 2}])
def test_what_does_not_fit_is_dropped_and_counted_and_mirror_never_waits(bound: dict[str, int]) -> None:
    release = threading.Event()
    seen: list[Mirrored] = []

    def slow(tensors: Any) -> Any:
        release.wait(10)
        return {"label": np.zeros(len(tensors["input"]))}

    lane = ShadowLane(Stub(slow), 1.0, Limits(shadow_share=1.0, **bound), lambda _lane, done: seen.append(done))  # type: ignore[arg-type]
    began = time.monotonic()
    for index in range(100):
        lane.mirror(batch(index * 5, 5))
    assert time.monotonic() - began < 1.0
    release.set()
    wait_for(lambda: sum(len(each.mirrors) for each in seen) + lane.dropped == 500)
    assert lane.dropped >= 500 - 15
    assert lane.rows + lane.dropped == 500
    lane.close()


def test_a_failing_shadow_is_counted_and_reported_without_outputs() -> None:
    seen: list[Mirrored] = []

    def throws(_tensors: Any) -> Any:
        raise RuntimeError("no")

    lane = ShadowLane(Stub(throws), 1.0, Limits(shadow_share=1.0), lambda _lane, done: seen.append(done))  # type: ignore[arg-type]
    lane.mirror(batch(7, 3))
    wait_for(lambda: seen)
    assert (lane.errors, seen[0].outputs, seen[0].mirrors) == (3, None, [7, 8, 9])
    lane.close()


def test_a_shadow_takes_no_more_than_its_share_of_time() -> None:
    def busy(tensors: Any) -> Any:
        threading.Event().wait(0.01)
        return {"label": np.zeros(len(tensors["input"]))}

    lane = ShadowLane(Stub(busy), 1.0, Limits(shadow_share=0.25), lambda _lane, _done: None)  # type: ignore[arg-type]
    began = time.monotonic()
    for index in range(20):
        lane.mirror(batch(index, 1))
    wait_for(lambda: lane.rows == 20)
    # Nineteen pauses of three times a run lie between twenty runs.
    assert time.monotonic() - began >= 20 * 0.01 + 19 * 0.03
    lane.close()


def test_whoever_answers_interrupts_it() -> None:
    found: list[int] = []

    def tells(tensors: Any) -> Any:
        found.append(slice_of())
        return {"label": np.zeros(len(tensors["input"]))}

    lane = ShadowLane(Stub(tells), 1.0, Limits(), lambda _lane, _done: None)  # type: ignore[arg-type]
    lane.mirror(batch(0, 1))
    wait_for(lambda: lane.rows == 1)
    lane.close()
    assert found[0] == 2 * slice_of() or not LONG_SLICES


def test_whole_requests_are_sampled_and_point_at_their_own_rows() -> None:
    seen: list[Mirrored] = []
    identity = lambda tensors: {"label": tensors["input"][:, 0]}  # noqa: E731
    lane = ShadowLane(Stub(identity), 0.5, Limits(shadow_share=1.0), lambda _lane, done: seen.append(done), seed=1)  # type: ignore[arg-type]
    for index in range(200):
        lane.mirror(batch(index * 12, 3, requests=4))
    wait_for(lambda: lane.rows > 1000)
    for each in seen:
        assert each.mirrors == each.inputs["input"][:, 0].astype(int).tolist()
        assert len(each.mirrors) == 3 * len(each.pending)
    lane.close()
    assert 0.4 < lane.rows / 2400 < 0.6


@pytest.mark.parametrize(
    ("code", "left_out"), [(-signal.SIGSEGV, True), (-signal.SIGABRT, True), (-signal.SIGKILL, False), (0, False)]
)
def test_a_shadow_that_crashed_the_process_is_left_out_of_the_next(
    placed: Placed, monkeypatch: pytest.MonkeyPatch, code: int, left_out: bool
) -> None:
    other = place(placed.home, "cancer", 2, c=0.01)
    path = placed.home / "run" / "gateway.shadow"
    ShadowMarker(path).set("cancer", 2)  # the process dies here
    monkeypatch.setenv("PRODML_LAST_EXIT", str(code))
    quarantined = ShadowMarker(path).quarantined()
    assert quarantined == ({("cancer", 2)} if left_out else set())

    async def scenario() -> None:
        router = Router(placed.home, _Silent(), Metrics(), Limits(), quarantined=quarantined)  # type: ignore[arg-type]
        route = Route("cancer", 1, 1, None, (ShadowRoute(2),), (placed.files, other.files))
        problems = await router.apply({"cancer": route}, 1)
        assert router.lane("cancer").version.version == 1
        assert ("crashed the gateway as a shadow" in problems.get("cancer", "")) is left_out
        assert router.report()[0].loaded == ((1,) if left_out else (1, 2))

    asyncio.run(scenario())


def test_a_shadow_that_became_live_is_served_although_it_once_crashed(placed: Placed) -> None:
    async def scenario() -> None:
        router = Router(placed.home, _Silent(), Metrics(), Limits(), quarantined=frozenset({("cancer", 1)}))  # type: ignore[arg-type]
        assert await router.apply({"cancer": Route("cancer", 1, 1, None, (), (placed.files,))}, 1) == {}
        assert router.lane("cancer").version.version == 1

    asyncio.run(scenario())


class _Silent:
    """A request log that is not written."""

    problem = None


def test_the_marker_survives_in_the_file(tmp_path: Path) -> None:
    marker = ShadowMarker(tmp_path / "gateway.shadow")
    marker.set("a-model", 12)
    assert (tmp_path / "gateway.shadow").read_bytes().rstrip(b"\0") == b"a-model@12"
    marker.clear()
    assert (tmp_path / "gateway.shadow").read_bytes().rstrip(b"\0") == b""
