"""Models that nobody asks are put out of memory and come back with the next request; what does not fit is refused by name."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import onnx
import psutil
import pytest
from homes import infer_body, wait_for
from onnx import TensorProto, helper, numpy_helper
from serving.test_gateway import Gateway
from serving.test_overload import URL
from versions import Placed, place

from prodml_magics.errors import Unavailable
from prodml_magics.inference.cuda import gpu_memory
from prodml_magics.inference.session import open_session
from prodml_magics.serving.asleep import Asleep
from prodml_magics.serving.limits import Limits
from prodml_magics.serving.memory import Memory, expected_bytes, give_back, gpu_memory_of_all
from prodml_magics.serving.version import LoadedVersion
from prodml_magics.wire.routes import CanaryRoute, Route, Serving, ShadowRoute

MIB = 1 << 20


class Held:
    """A version that takes some memory and was last used at a stated time."""

    version = 1

    def __init__(self, model: str, mib: int, used: float) -> None:
        self.model, self.bytes, self.used = model, mib * MIB, used
        self.away = False

    def put_away(self) -> None:
        self.away = True


def test_the_least_recently_used_go_first_and_no_more_than_needed() -> None:
    held: list[Any] = [Held("c", 10, 3.0), Held("a", 10, 1.0), Held("b", 10, 2.0)]
    memory = Memory(100 * MIB, lambda: 90 * MIB)
    memory.make_room(10 * MIB, held, held, "new@1")
    assert not any(each.away for each in held), "it fits"
    memory.make_room(25 * MIB, held, held, "new@1")
    assert {each.model for each in held if each.away} == {"a", "b"}


def test_what_does_not_fit_is_refused_with_what_would_have_to_go_and_nothing_is_put_away() -> None:
    idle: list[Any] = [Held("idle", 5, 1.0)]
    busy: list[Any] = [Held("small", 1, 9.0), Held("large", 40, 9.0)]
    memory = Memory(100 * MIB, lambda: 90 * MIB)
    with pytest.raises(Unavailable) as refused:
        memory.make_room(30 * MIB, idle, [*idle, *busy], "new@7")
    assert str(refused.value) == (
        "new@7 needs about 30 MiB and 10 MiB of 100 MiB are free; undeploy what is not needed, such as large@1 (40 MiB), "
        "idle@1 (5 MiB), small@1 (1 MiB)"
    )
    assert not idle[0].away
    memory.make_room(0, idle, ())
    assert not idle[0].away, "enough is free for what is there"


def test_the_gpu_has_a_memory_of_its_own_in_which_versions_are_counted_by_what_they_take_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = 70 * MIB
    monkeypatch.setattr("prodml_magics.serving.memory.gpu_memory", lambda: (used, 100 * MIB))
    memory = gpu_memory_of_all()
    assert memory is not None
    held: list[Any] = [Held("first", 500, 1.0), Held("second", 500, 2.0)]
    for each, mib in zip(held, (10, 20), strict=True):
        each.gpu_bytes = mib * MIB
    memory.make_room(30 * MIB, held, held, "new@1")
    assert not any(each.away for each in held)
    memory.make_room(35 * MIB, held, held, "new@1")
    assert [each.away for each in held] == [True, False]
    with pytest.raises(
        Unavailable, match=r"new@1 needs about 80 MiB of the GPU and 30 MiB of 100 MiB are free; .* second@1 \(20 MiB\)"
    ):
        memory.make_room(80 * MIB, (), held, "new@1")


def test_where_no_gpu_is_there_is_no_memory_of_it() -> None:
    assert (gpu_memory_of_all() is None) == (gpu_memory() is None)


def test_without_a_bound_nothing_is_ever_lacking() -> None:
    assert Memory(None, lambda: 10**15).lacking(10**15) == 0


@pytest.fixture
def large(tmp_path: Path) -> bytes:
    """An ONNX file of 64 MiB: one matrix."""
    matrix = numpy_helper.from_array(np.ones((4096, 4096), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4096])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 4096])],
        [matrix],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def test_the_memory_of_a_version_that_is_put_away_goes_back_to_the_system(large: bytes, placed: Placed) -> None:
    resident = psutil.Process().memory_info
    version = LoadedVersion("m", 1, open_session(large, device="cpu"), placed.contract)
    version.reopen = lambda: open_session(large, device="cpu")
    row = {"x": np.ones((1, 4096), np.float32)}
    assert version.run(row)["y"][0, 0] == 4096
    before = resident().rss
    version.put_away()
    give_back()
    assert before - resident().rss > 48 * MIB
    assert version.run(row)["y"][0, 0] == 4096
    assert not version.asleep


def test_what_a_file_will_take_is_expected_from_its_size(tmp_path: Path, large: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(large)
    assert 100 * MIB < expected_bytes(tmp_path / "model.onnx") < 300 * MIB
    assert expected_bytes(tmp_path / "none.onnx") == 0


def served(placed: Placed, route: Route, scenario: Any, limits: Limits | None = None) -> None:
    async def whole() -> None:
        gateway = Gateway(placed.home, limits or Limits())
        assert await gateway.router.apply({"cancer": route}, 1) == {}
        transport = httpx.ASGITransport(app=gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            await scenario(gateway, client)
        await gateway.router.close()

    asyncio.run(whole())


def looked(gateway: Gateway) -> None:
    """Let it look at once, as it does every two seconds."""
    gateway.router._held._looked = -1e9
    gateway.router.tend()


def test_an_idle_version_is_put_away_and_the_next_requests_find_it_again(placed: Placed) -> None:
    async def scenario(gateway: Gateway, client: httpx.AsyncClient) -> None:
        body = infer_body(placed.rows[:1])
        first = (await client.post(URL, json=body)).json()
        version = gateway.router.lane("cancer").version
        looked(gateway)
        assert not version.asleep, "it was asked a moment ago"
        version.used -= 61
        looked(gateway)
        assert version.asleep
        assert 'prodml_version_loaded{model="cancer",version="1"} 0.0' in (await client.get("/metrics")).text
        opened = []
        reopen = version.reopen
        version.reopen = lambda: opened.append(1) or reopen()  # type: ignore[func-returns-value, misc]
        found = [each.json() for each in await asyncio.gather(*(client.post(URL, json=body) for _ in range(20)))]
        assert all(each["outputs"] == first["outputs"] for each in found)
        assert (opened, version.asleep) == ([1], False)
        assert 'prodml_version_loaded{model="cancer",version="1"} 1.0' in (await client.get("/metrics")).text

    served(placed, Route("cancer", 1, live=1, files=(placed.files,), serving=Serving(idle_seconds=60)), scenario)


@pytest.mark.parametrize("beside", ["canary", "shadow"])
def test_versions_that_are_compared_stay(placed: Placed, beside: str) -> None:
    other = place(placed.home, "cancer", 2, c=0.1)
    route = Route("cancer", 1, live=1, files=(placed.files, other.files), serving=Serving(idle_seconds=1))
    changed = {"canary": CanaryRoute(2, 0.5, "s", 1)} if beside == "canary" else {"shadows": (ShadowRoute(2),)}

    async def scenario(gateway: Gateway, _client: httpx.AsyncClient) -> None:
        versions = gateway.router.versions()
        for version in versions:
            version.used -= 100
        looked(gateway)
        asleep = {version.version for version in versions if version.asleep}
        assert asleep == (set() if beside == "canary" else {1})

    served(placed, msgspec.structs.replace(route, **changed), scenario)


def test_a_file_that_was_changed_meanwhile_is_not_loaded_again(placed: Placed) -> None:
    async def scenario(gateway: Gateway, client: httpx.AsyncClient) -> None:
        version = gateway.router.lane("cancer").version
        version.put_away()
        path = placed.home / placed.files.folder / "model.onnx"
        content = path.read_bytes()
        path.write_bytes(content + b"\0")
        refused = await client.post(URL, json=infer_body(placed.rows[:1]))
        assert refused.status_code >= 400 and "differs from what was registered" in refused.json()["error"]
        path.write_bytes(content)
        assert (await client.post(URL, json=infer_body(placed.rows[:1]))).status_code == 200

    served(placed, Route("cancer", 1, live=1, files=(placed.files,)), scenario)


def test_a_model_that_does_not_fit_is_refused_and_the_others_serve_on(placed: Placed) -> None:
    async def scenario(gateway: Gateway, client: httpx.AsyncClient) -> None:
        other = place(placed.home, "cancer", 2, c=0.1)
        gateway.router._held.memory = Memory(gateway.router._held.memory.resident() - 100 * MIB)
        with pytest.raises(
            Unavailable, match=r"cancer@2 needs about \d+ MiB and 0 MiB of \d+ MiB are free; undeploy .* cancer@1"
        ):
            await gateway.router.hold("cancer", other.files)
        assert (await client.post(URL, json=infer_body(placed.rows[:1]))).status_code == 200

    served(placed, Route("cancer", 1, live=1, files=(placed.files,)), scenario)


def test_threads_that_come_at_once_open_it_once() -> None:
    opened: list[int] = []
    asked: list[int] = []

    class Opened:
        isolated = False

        def run(self, tensors: Any) -> Any:
            return tensors

    def wake() -> Any:
        opened.append(1)
        wait_for(lambda: len(asked) >= 4)  # as long as the others need to come
        return Opened()

    asleep = Asleep("cpu", False, wake)
    row = {"x": np.ones((1, 1), np.float32)}

    def ask(number: int) -> Any:
        asked.append(number)
        return asleep.run(row)

    with ThreadPoolExecutor(4) as pool:
        assert all(each["x"] is row["x"] for each in pool.map(ask, range(8)))
    assert opened == [1]
