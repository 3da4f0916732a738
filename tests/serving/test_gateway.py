"""The gateway's HTTP face around real models, in process: protocol, errors, log, shadow."""

from __future__ import annotations

import asyncio
import gzip
import os
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from versions import Placed, place

from prodml_magics.serving.access import Access
from prodml_magics.serving.app import Control
from prodml_magics.serving.follow import Follower
from prodml_magics.serving.front import Front
from prodml_magics.serving.limits import Limits
from prodml_magics.serving.log import RequestLog
from prodml_magics.serving.metrics import Metrics
from prodml_magics.serving.predict import Predictor
from prodml_magics.serving.router import Router
from prodml_magics.storage.arrays import from_array
from prodml_magics.storage.ledger import Ledger, sqlite_url
from prodml_magics.storage.spool import SpoolWriter, segments
from prodml_magics.wire.routes import Route, Serving, ShadowRoute

TOKEN = "secret"


class Gateway:
    """The application with its parts at hand."""

    def __init__(self, home: Path, limits: Limits) -> None:
        self.writer = SpoolWriter(home / "spool")
        self.metrics = Metrics()
        self.log = RequestLog(self.writer, self.metrics, seed=7)
        self.router = Router(home, self.log, self.metrics, limits)
        ledger = Ledger(sqlite_url(home / "ledger.db"))
        self.access = Access(home, TOKEN)
        self.control = control = Control(
            self.router, Follower(ledger, self.router, self.access), self.metrics, self.access, "cpu"
        )
        self.catalog = control.catalog
        self.catalog.ready = True
        self.predictor = Predictor(self.router, self.metrics, self.log, limits, self.access)
        self.app = Front(self.predictor, limits, control.app())
        self.home = home

    def blocks(self) -> list[Any]:
        return [block for segment in segments(self.home / "spool") for _, block in segment.blocks()]


@asynccontextmanager
async def serving(
    placed: Placed, *, limits: Limits | None = None, **route: Any
) -> AsyncIterator[tuple[Gateway, httpx.AsyncClient]]:
    gateway = Gateway(placed.home, limits or Limits())
    routes = {"cancer": Route(model="cancer", revision=1, live=1, **({"files": (placed.files,)} | route))}
    problems = await gateway.router.apply(routes, 1)
    assert problems == {}
    transport = httpx.ASGITransport(app=gateway.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield gateway, client


def infer_body(rows: np.ndarray, **changes: Any) -> dict[str, Any]:
    tensor = {"name": "input", "shape": list(rows.shape), "datatype": "FP32", "data": rows.tolist()} | changes
    return {"inputs": [tensor]}


URL = "/v2/models/cancer/infer"


def test_infer_answers_as_scikit_learn(placed: Placed) -> None:
    async def scenario() -> None:
        async with serving(placed) as (gateway, client):
            rows = placed.rows[:7]
            answer = await client.post(URL, json=infer_body(rows) | {"id": "mine"})
            assert answer.status_code == 200, answer.text
            body = answer.json()
            assert (body["model_name"], body["model_version"], body["id"]) == ("cancer", "1", "mine")
            assert body["parameters"] == {"arm": "live"}
            outputs = {output["name"]: np.array(output["data"]).reshape(output["shape"]) for output in body["outputs"]}
            np.testing.assert_array_equal(outputs["label"], placed.model.predict(rows))
            np.testing.assert_allclose(outputs["probabilities"], placed.model.predict_proba(rows), atol=1e-5)
            (block,) = gateway.blocks()
            assert (block.request_ids, block.request_rows, block.arm, block.status) == (["mine"], [7], "live", [200])

    asyncio.run(scenario())


def test_rows_of_concurrent_requests_are_never_mixed_up(placed: Placed) -> None:
    expected = placed.model.predict_proba(placed.rows)[:, 1]

    async def scenario() -> None:
        async with serving(placed) as (gateway, client):

            async def one(index: int) -> None:
                rows = placed.rows[index : index + 1 + index % 3]
                body = (await client.post(URL, json=infer_body(rows))).json()
                given = np.array(body["outputs"][1]["data"]).reshape(-1, 2)[:, 1]
                np.testing.assert_allclose(given, expected[index : index + len(rows)], atol=1e-5)

            await asyncio.gather(*(one(index) for index in range(300)))
            blocks = gateway.blocks()
            assert sum(len(block.request_ids) for block in blocks) == 300
            assert [block.sequence for block in blocks] == list(np.cumsum([0, *(block.rows for block in blocks)])[:-1])

    asyncio.run(scenario())


def test_predict_takes_named_rows(placed: Placed) -> None:
    names = [column.name for column in placed.contract.columns]
    row = dict(zip(names, placed.rows[3].tolist(), strict=True))

    async def scenario() -> None:
        async with serving(placed) as (_, client):
            answer = await client.post("/predict/cancer", json=row, headers={"x-request-id": "abc"})
            assert answer.headers["x-request-id"] == "abc"
            (prediction,) = answer.json()["predictions"]
            assert prediction["label"] == placed.model.predict(placed.rows[3:4])[0]
            expected = placed.model.predict_proba(placed.rows[3:4])[0]
            np.testing.assert_allclose([prediction["probabilities"][each] for each in ("0", "1")], expected, atol=1e-5)
            missing = await client.post("/predict/cancer", json={**row, "mean radiu": 1.0})
            assert missing.status_code == 422
            assert "mean radius" in missing.json()["error"]

    asyncio.run(scenario())


ROW = [[0.5] * 30]


@pytest.mark.parametrize(
    ("status", "body", "needle"),
    [
        (400, b"{", "not an inference request"),
        (400, b"", "the body is empty; send an inference request"),
        (
            400,
            b'{"inputs": [{"name": "input", "shape": [1, 30], "datatype": "FP32", "data": [NaN]}]}',
            "not an inference request",
        ),
        (400, infer_body(np.array(ROW), name="x"), "input"),
        (400, infer_body(np.array(ROW), datatype="FP64", data=[[0.5] * 30], shape=[1, 30]), "FP32"),
        (400, infer_body(np.array(ROW), datatype="COMPLEX"), "COMPLEX"),
        (400, infer_body(np.array(ROW), shape=[1, 29]), "29"),
        (400, infer_body(np.array(ROW), shape=[-1, 30]), "shape"),
        (400, infer_body(np.array(ROW), shape=[2, 15]), "15"),
        (400, infer_body(np.empty((0, 30)), shape=[0, *[2**30] * 3]), "not usable"),
        (400, infer_body(np.array(ROW), data=[[0.5] * 30, [0.5]], shape=[2, 30]), "ragged"),
        (400, infer_body(np.array(ROW), data=[["a"] * 30]), "not a number"),
        (400, infer_body(np.array(ROW), data=[[True] * 30]), "not a number"),
        (400, infer_body(np.array(ROW), data=[[1e39] * 30]), "range"),
        (400, infer_body(np.empty((0, 30))), "row"),
        (400, {"inputs": infer_body(np.array(ROW))["inputs"] * 2}, "twice"),
        (400, infer_body(np.array(ROW)) | {"outputs": [{"name": "odds"}]}, "odds"),
        (400, infer_body(np.array(ROW)) | {"id": "x" * 300}, "request id"),
        (400, b"[" * 100_000, "not an inference request"),
        (422, infer_body(np.array(ROW), data=[[None] * 30]), "mean radius"),
    ],
)
def test_bad_input_is_one_clear_line_and_is_not_logged(placed: Placed, status: int, body: Any, needle: str) -> None:
    async def scenario() -> None:
        async with serving(placed) as (gateway, client):
            content = body if isinstance(body, bytes) else msgspec.json.encode(body)
            answer = await client.post(URL, content=content)
            assert (answer.status_code, needle in answer.json()["error"]) == (status, True), answer.text
            assert "\n" not in answer.json()["error"]
            assert gateway.blocks() == []
            assert f'prodml_refused_total{{status="{status}"}} 1.0' in (await client.get("/metrics")).text

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "path", ["/v2/models/nobody/infer", "/predict/nobody", "/v2/models/%2e%2e/infer", "/v2/models/<script>/infer"]
)
def test_an_unknown_model_is_404(placed: Placed, path: str) -> None:
    async def scenario() -> None:
        async with serving(placed) as (_, client):
            answer = await client.post(path, json={})
            assert answer.status_code == 404
            assert "cancer" in answer.json()["error"]

    asyncio.run(scenario())


def test_a_body_over_the_limit_is_413(placed: Placed) -> None:
    async def scenario() -> None:
        async with serving(placed, limits=Limits(body_bytes=1 << 20)) as (gateway, client):
            answer = await client.post(URL, content=b" " * (1 << 21))
            assert answer.status_code == 413
            assert "1 MiB" in answer.json()["error"]
            assert gateway.blocks() == []

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", gzip.compress(bytes(64 << 20)), 413),
        ("deflate", zlib.compress(bytes(64 << 20)), 413),
        ("gzip", b"no gzip", 400),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-9], 400),
        ("gzip", gzip.compress(b"{}", mtime=0) + b"more", 400),
        ("br", b"{}", 400),
        ("gzip", gzip.compress(b"{", mtime=0), 400),
    ],
)
def test_a_packed_body_is_held_to_the_same_limits(placed: Placed, encoding: str, body: bytes, status: int) -> None:
    async def scenario() -> None:
        async with serving(placed, limits=Limits(body_bytes=1 << 20)) as (_, client):
            headers = {"content-encoding": encoding}
            for path in (URL, "/predict/cancer"):
                assert (await client.post(path, content=body, headers=headers)).status_code == status
            packed = gzip.compress(msgspec.json.encode(infer_body(placed.rows[:1])))
            assert (await client.post(URL, content=packed, headers={"content-encoding": "gzip"})).status_code == 200

    asyncio.run(scenario())


@pytest.mark.parametrize("given", ["x", "-1", "0", "1.5", "", "1" * 13])
def test_a_deadline_of_the_client_is_whole_milliseconds(placed: Placed, given: str) -> None:
    async def scenario() -> None:
        async with serving(placed) as (_, client):
            headers = {"x-prodml-deadline-ms": given}
            assert (await client.post(URL, json=infer_body(placed.rows[:1]), headers=headers)).status_code == 400
            headers = {"x-prodml-deadline-ms": "500"}
            assert (await client.post(URL, json=infer_body(placed.rows[:1]), headers=headers)).status_code == 200

    asyncio.run(scenario())


def test_a_slow_model_is_504_and_logged_once(placed: Placed) -> None:
    import threading

    release = threading.Event()

    async def scenario() -> None:
        async with serving(placed, limits=Limits(deadline=0.05, inline_seconds=0)) as (gateway, client):
            version = gateway.router.lane("cancer").version
            honest = version.session

            class Slow:
                device = "cpu"
                isolated = False

                def run(self, tensors: Any) -> Any:
                    release.wait(20)
                    return honest.run(tensors)

                def end_runs(self, overdue: Any) -> int:
                    return 0

                def close(self) -> None:
                    honest.close()

            version.session = Slow()  # type: ignore[assignment]
            answer = await client.post(URL, json=infer_body(placed.rows[:1]))
            assert answer.status_code == 504
            release.set()
            await gateway.router.close()
            (block,) = gateway.blocks()
            assert (block.status, block.outputs) == ([504], None)

    asyncio.run(scenario())


def test_a_throwing_model_fails_its_own_rows_only(placed: Placed) -> None:
    async def scenario() -> None:
        async with serving(placed) as (gateway, client):
            version = gateway.router.lane("cancer").version
            honest = version.session

            class Picky:
                device = "cpu"

                def run(self, tensors: Any) -> Any:
                    if (tensors["input"] == 0).all(axis=1).any():
                        raise RuntimeError("a row of zeros")
                    return honest.run(tensors)

            version.session = Picky()  # type: ignore[assignment]
            bad = client.post(URL, json=infer_body(np.zeros((1, 30))))
            good = [client.post(URL, json=infer_body(placed.rows[:2])) for _ in range(5)]
            failed, *answered = await asyncio.gather(bad, *good)
            assert (failed.status_code, "a row of zeros" in failed.json()["error"]) == (500, True)
            assert [each.status_code for each in answered] == [200] * 5
            statuses = sorted(status for block in gateway.blocks() for status in block.status)
            assert statuses == [200] * 5 + [500]

    asyncio.run(scenario())


def test_what_cannot_be_logged_is_not_acknowledged(placed: Placed, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with serving(placed) as (gateway, client):
            full = gateway.home / "full"
            full.symlink_to("/dev/full")
            import os

            gateway.writer._descriptor = os.open(full, os.O_WRONLY)
            answer = await client.post(URL, json=infer_body(placed.rows[:1]))
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert "request log" in answer.json()["error"]
            recovered = await client.post(URL, json=infer_body(placed.rows[:1]))
            assert recovered.status_code == 200
            assert [block.status for block in gateway.blocks()] == [[200]]

    asyncio.run(scenario())


def test_shadow_rows_point_at_the_live_rows_that_they_mirror(placed: Placed) -> None:
    other = place(placed.home, "cancer", 2, c=0.01)
    route = {"shadows": (ShadowRoute(2),), "files": (placed.files, other.files)}

    async def scenario() -> None:
        async with serving(placed, **route) as (gateway, client):
            for index in range(20):
                await client.post(URL, json=infer_body(placed.rows[index : index + 2]))
            while sum(block.rows for block in gateway.blocks() if block.arm == "shadow") < 40:
                await asyncio.sleep(0.005)
            live = {block.sequence + row: key for block in gateway.blocks() if block.arm == "live" for row, key in _rows(block)}
            for block in gateway.blocks():
                if block.arm == "shadow":
                    assert block.version == 2
                    for (_, key), mirrored in zip(_rows(block), block.mirrors, strict=True):
                        assert live[mirrored] == key

    asyncio.run(scenario())


def _rows(block: Any) -> list[tuple[int, bytes]]:
    data = block.inputs["input"].data
    return [(row, data[row * 120 : (row + 1) * 120]) for row in range(block.rows)]


def test_metadata_health_and_readiness(placed: Placed) -> None:
    async def scenario() -> None:
        async with serving(placed) as (_, client):
            assert "binary_tensor_data" in (await client.get("/v2")).json()["extensions"]
            assert (await client.get("/v2/health/live")).json() == {"live": True}
            assert (await client.get("/v2/health/ready")).json() == {"ready": True}
            metadata = (await client.get("/v2/models/cancer")).json()
            assert metadata["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 30]}]
            assert metadata["parameters"]["columns"][0] == "mean radius"
            assert (await client.get("/v2/models/cancer/versions/1/ready")).json()["ready"] is True
            assert (await client.get("/v2/models/cancer/versions/9/ready")).status_code == 404
            assert (await client.get("/v2/models/cancer/")).status_code == 404
            assert (await client.get("/v2/")).json() == (await client.get("/v2")).json()
            assert (await client.get("/nowhere")).json()["error"].startswith("GET /nowhere")
            for path in (URL, "/predict/cancer", "/models/cancer/invocations", "/invocations"):
                answer = await client.get(path)
                assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
                assert answer.json()["error"] == f"GET {path}: method not allowed; send POST"

    asyncio.run(scenario())


@pytest.mark.parametrize("path", ["/admin/status", "/admin/sync", "/admin/load"])
def test_control_needs_the_token(placed: Placed, path: str) -> None:
    async def scenario() -> None:
        async with serving(placed) as (_, client):
            method = "GET" if path.endswith("status") else "POST"
            for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer é".encode()}):
                assert (await client.request(method, path, headers=headers)).status_code == 401
            right = await client.request(method, path, headers={"authorization": f"Bearer {TOKEN}"}, content=b"{")
            assert right.status_code in (200, 400)

    asyncio.run(scenario())


def test_a_version_whose_bytes_changed_is_not_served_and_the_old_route_stays(placed: Placed) -> None:
    other = place(placed.home, "cancer", 2, c=0.01)
    path = placed.home / other.files.folder / "model.onnx"
    path.write_bytes(path.read_bytes() + b"\0")

    async def scenario() -> None:
        async with serving(placed) as (gateway, client):
            route = Route(model="cancer", revision=2, live=2, previous=1, files=(placed.files, other.files))
            problems = await gateway.router.apply({"cancer": route}, 2)
            assert "differs from what was registered" in problems["cancer"]
            answer = await client.post(URL, json=infer_body(placed.rows[:1]))
            assert (answer.status_code, answer.json()["model_version"]) == (200, "1")

    asyncio.run(scenario())


def test_no_request_fails_while_routes_change(placed: Placed) -> None:
    other = place(placed.home, "cancer", 2, c=0.01)
    files = (placed.files, other.files)

    async def scenario() -> None:
        async with serving(placed) as (gateway, client):
            stop = asyncio.Event()
            statuses: list[int] = []
            versions: set[str] = set()

            async def load() -> None:
                while not stop.is_set():
                    answer = await client.post(URL, json=infer_body(placed.rows[:1]))
                    statuses.append(answer.status_code)
                    versions.add(answer.json()["model_version"])

            workers = [asyncio.create_task(load()) for _ in range(8)]
            for revision in range(2, 30):
                live = 1 + revision % 2
                await gateway.router.apply({"cancer": Route("cancer", revision, live, 3 - live, (), files)}, revision)
                await asyncio.sleep(0)
            stop.set()
            await asyncio.gather(*workers)
            assert set(statuses) == {200}
            assert versions == {"1", "2"}
            assert sum(block.rows for block in gateway.blocks()) == len(statuses)

    asyncio.run(scenario())


def test_masked_columns_reach_the_model_and_no_log(placed: Placed) -> None:
    async def scenario() -> None:
        shadows = (ShadowRoute(version=1),)
        async with serving(placed, serving=Serving(mask=("mean radius",)), shadows=shadows) as (gateway, client):
            answer = (await client.post(URL, json=infer_body(placed.rows[:3]))).json()
            expected = placed.model.predict_proba(placed.rows[:3])
            assert answer["outputs"][1]["data"] == pytest.approx(expected.ravel(), abs=1e-5)
            while len(gateway.blocks()) < 2:
                await asyncio.sleep(0.01)
            await gateway.router.close()
            for block in gateway.blocks():
                logged = from_array(block.inputs["input"])
                assert np.isnan(logged[:, 0]).all(), block.arm
                np.testing.assert_array_equal(logged[:, 1:], placed.rows[:3, 1:])

    asyncio.run(scenario())


def test_a_sample_of_whole_requests_is_logged_and_all_are_counted(placed: Placed) -> None:
    async def scenario() -> None:
        async with serving(placed, serving=Serving(log_sample=0.25)) as (gateway, client):
            answers = await asyncio.gather(*(client.post(URL, json=infer_body(placed.rows[i : i + 2])) for i in range(400)))
            assert {answer.status_code for answer in answers} == {200}
            blocks = gateway.blocks()
            logged = sum(block.rows for block in blocks)
            assert {block.log_share for block in blocks} == {0.25}
            assert {rows for block in blocks for rows in block.request_rows} == {2}
            assert 130 <= logged <= 280, "200 of 800 are expected, with a standard deviation of 17"
            told = {answer.json()["id"]: answer.json()["outputs"][1]["data"] for answer in answers}
            for block in blocks:
                given = from_array(block.outputs["probabilities"]).reshape(len(block.request_ids), -1)
                for request_id, values in zip(block.request_ids, given, strict=True):
                    np.testing.assert_array_equal(np.array(told[request_id], np.float32), values)
            (report,) = gateway.router.report()
            assert (report.traffic.rows, report.traffic.sampled_out, report.traffic.unlogged) == (800, 800 - logged, 0)
            page = gateway.metrics.page().decode()
            assert f'prodml_unlogged_rows_total{{arm="live",model="cancer",reason="sample",version="1"}} {800.0 - logged}' in page

    asyncio.run(scenario())


def test_beside_a_shadow_every_row_is_logged_with_its_pair(placed: Placed) -> None:
    async def scenario() -> None:
        async with serving(placed, serving=Serving(log_sample=0.01), shadows=(ShadowRoute(version=1),)) as (gateway, client):
            for index in range(20):
                await client.post(URL, json=infer_body(placed.rows[index : index + 1]))
            while sum(block.rows for block in gateway.blocks()) < 40:
                await asyncio.sleep(0.01)
            await gateway.router.close()
            assert {block.log_share for block in gateway.blocks()} == {1.0}

    asyncio.run(scenario())


@pytest.mark.parametrize("policy", ["refuse", "serve"])
def test_a_disk_that_refuses_is_answered_as_the_policy_says_and_found_again(placed: Placed, policy: Any) -> None:
    async def scenario() -> None:
        shadows = (ShadowRoute(version=1),)
        async with serving(placed, serving=Serving(on_log_failure=policy), shadows=shadows) as (gateway, client):
            assert (await client.post(URL, json=infer_body(placed.rows[:1]))).status_code == 200
            while len(gateway.blocks()) < 2:
                await asyncio.sleep(0.01)
            honest = os.dup(gateway.writer._descriptor)
            os.dup2(os.open("/dev/full", os.O_WRONLY), gateway.writer._descriptor)
            answer = await client.post(URL, json=infer_body(placed.rows[:3]))
            (report,) = gateway.router.report()
            assert "free space on the disk" in str(report.problem)
            if policy == "serve":
                assert answer.status_code == 200
                assert (report.traffic.unlogged, report.traffic.errors) == (3, 0)
            else:
                assert (answer.status_code, report.traffic.unlogged) == (503, 0)
                assert answer.headers["retry-after"] == "1" and "free space" in answer.json()["error"]
            os.close(honest)
            assert (await client.post(URL, json=infer_body(placed.rows[:1]))).status_code == 200
            while len(gateway.blocks()) < 4:
                await asyncio.sleep(0.01)
            await gateway.router.close()
            assert gateway.router.report()[0].problem is None
            assert sorted((block.arm, block.rows) for block in gateway.blocks()) == [("live", 1)] * 2 + [("shadow", 1)] * 2

    asyncio.run(scenario())


@pytest.mark.parametrize("milliseconds", [0, 1])
def test_rows_reach_the_disk_within_the_interval(placed: Placed, milliseconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))

    async def scenario() -> None:
        async with serving(placed, serving=Serving(fsync_ms=milliseconds)) as (gateway, client):
            await client.post(URL, json=infer_body(placed.rows[:1]))
            size = os.fstat(gateway.writer._descriptor).st_size
            if milliseconds == 0:
                assert size in synced, "before the reply left"
            while size not in synced:
                await asyncio.sleep(0.001)

    asyncio.run(scenario())
