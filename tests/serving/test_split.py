"""While a canary runs: who answers is a matter of the key alone, and what is randomised is logged as such."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, kstest
from serving.test_fast import ROW, Ports, infer_body, request, run, talk
from serving.test_gateway import Gateway
from versions import Placed, place

from prodml_magics.serving.limits import Limits
from prodml_magics.serving.log import RequestLog
from prodml_magics.serving.marker import ShadowMarker
from prodml_magics.serving.metrics import Metrics
from prodml_magics.serving.router import Router
from prodml_magics.serving.split import position
from prodml_magics.serving.timed import run_timed
from prodml_magics.storage.arrays import from_array
from prodml_magics.storage.blocks import Block
from prodml_magics.storage.spool import SpoolWriter
from prodml_magics.wire.routes import CanaryRoute, Route, Segment

KEYS = [f"user-{index}".encode() for index in range(20_000)]


def test_positions_are_uniform_over_keys_that_count_up() -> None:
    assert kstest([position(key, b"salt") for key in KEYS], "uniform").pvalue > 0.001


def test_positions_of_two_salts_are_independent() -> None:
    first, second = (np.array([position(key, salt) for key in KEYS]) for salt in (b"one", b"two"))
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(len(KEYS))
    both = int(((first < 0.25) & (second < 0.25)).sum())
    assert binomtest(both, len(KEYS), 0.0625).pvalue > 0.001


@given(st.binary(max_size=50), st.floats(0.001, 0.5), st.floats(0.5, 0.999))
def test_a_key_stays_with_the_canary_when_the_share_grows(key: bytes, small: float, large: float) -> None:
    assert 0 <= position(key, b"s") < 1
    assert not position(key, b"s") < small or position(key, b"s") < large


def with_canary(placed: Placed, share: float = 0.25) -> dict[str, Any]:
    other = place(placed.home, "cancer", 2, c=0.001)
    return {"canary": CanaryRoute(2, share, "cancer/3", 3), "files": (placed.files, other.files)}


def body_of(response: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(response.split(b"\r\n\r\n", 1)[1])
    return found


def logged(gateway: Gateway) -> list[Block]:
    return gateway.blocks()


def test_both_ways_send_a_key_to_the_same_version_with_the_same_bytes(placed: Placed) -> None:
    row = {column.name: 0.5 for column in placed.contract.columns}

    async def scenario(_gateway: Gateway, ports: Ports) -> None:
        arms = []
        for index in range(60):
            for body, path in ((infer_body(ROW, "me"), "/v2/models/cancer/infer"), (row, "/predict/cancer")):
                data = request(body, path, headers=f"X-Prodml-Key: k{index}\r\nX-Request-Id: me\r\n")
                (fast,), (asgi,) = await talk(ports[0], data), await talk(ports[1], data)
                assert fast == asgi
                arms.append((body_of(fast)["parameters"]["arm"], body_of(fast)["model_version"]))
        assert set(arms) == {("live", "1"), ("canary", "2")}
        assert arms[::2] == arms[1::2]
        assert binomtest(arms.count(("canary", "2")) // 2, 60, 0.25).pvalue > 0.001

    run(placed, scenario, **with_canary(placed))


def test_requests_without_a_key_are_spread_though_their_ids_repeat_and_the_log_says_how(placed: Placed) -> None:
    async def scenario(gateway: Gateway, ports: Ports) -> None:
        for start in (0, 1):
            data = b"".join(request(infer_body(ROW, "always the same")) for _ in range(200))
            arms = [body_of(each)["parameters"]["arm"] for each in await talk(ports[start], data, 200)]
            assert binomtest(arms.count("canary"), 200, 0.25).pvalue > 1e-4
        blocks = logged(gateway)
        assert {(block.arm, block.version, block.rollout, block.share) for block in blocks} == {
            ("live", 1, 3, 0.25),
            ("canary", 2, 3, 0.25),
        }

    run(placed, scenario, **with_canary(placed))


def test_a_request_that_names_a_version_is_not_part_of_the_rollout(placed: Placed) -> None:
    async def scenario(gateway: Gateway, ports: Ports) -> None:
        for version in (1, 2):
            data = request(infer_body(ROW, "me"), f"/v2/models/cancer/versions/{version}/infer")
            (response,) = await talk(ports[0], data)
            assert body_of(response)["model_version"] == str(version)
        assert [(block.arm, block.version, block.rollout, block.share) for block in logged(gateway)] == [
            ("live", 1, 0, 0.0),
            ("direct", 2, 0, 0.0),
        ]

    run(placed, scenario, **with_canary(placed))


def test_the_answers_are_those_of_the_version_that_gave_them_and_a_bad_key_is_refused(placed: Placed) -> None:
    routed = with_canary(placed, share=0.5)
    other = place(placed.home, "cancer", 3, c=0.001)  # the same model as version 2
    expected = {str(1): placed.model.predict_proba(placed.rows)[:, 1], str(2): other.model.predict_proba(placed.rows)[:, 1]}

    async def scenario(_gateway: Gateway, ports: Ports) -> None:
        for index in range(40):
            (response,) = await talk(ports[0], request(infer_body(placed.rows[index : index + 1], "me")))
            body = body_of(response)
            assert body["outputs"][1]["data"][1] == pytest.approx(expected[body["model_version"]][index], abs=1e-5)
        for headers in ("X-Prodml-Key: " + "a" * 300 + "\r\n", "X-Prodml-Key: \xe9\r\n"):
            (fast,), (asgi,) = (
                await talk(ports[0], request(infer_body(ROW), headers=headers)),
                await talk(ports[1], request(infer_body(ROW), headers=headers)),
            )
            assert fast == asgi and b" 400 " in fast

    run(placed, scenario, **routed)


def test_steps_and_the_end_of_a_canary_lose_no_request_and_keep_keys_in_their_arm(placed: Placed) -> None:
    routed = with_canary(placed, share=0.01)
    files = routed["files"]

    async def scenario(gateway: Gateway, ports: Ports) -> None:
        before: dict[int, str] = {}
        for revision, share in enumerate((0.05, 0.25, 0.5, 0.0), start=2):
            canary = CanaryRoute(2, share, "cancer/3", 3) if share else None
            route = Route("cancer", revision, live=1, canary=canary, files=files if share else files[:1])
            asking = [
                asyncio.create_task(talk(ports[0], request(infer_body(ROW, "x"), headers=f"X-Prodml-Key: k{index}\r\n")))
                for index in range(80)
            ]
            await asyncio.sleep(0)
            assert await gateway.router.apply({"cancer": route}, revision) == {}
            answered = await asyncio.gather(*asking)
            assert all(answer.startswith(b"HTTP/1.1 200") for (answer,) in answered)
            for index in range(80):
                (response,) = await talk(ports[0], request(infer_body(ROW, "x"), headers=f"X-Prodml-Key: k{index}\r\n"))
                version = body_of(response)["model_version"]
                assert version == "1" or share
                if before.get(index) == "2" and share:
                    assert version == "2"
                before[index] = version
        assert set(before.values()) == {"1"}

    run(placed, scenario, **routed)


def test_whoever_stands_in_for_a_canary_that_keeps_failing_answers_as_its_fallback_within_the_rollout(placed: Placed) -> None:
    async def scenario(gateway: Gateway, ports: Ports) -> None:
        split = gateway.router.lane("cancer").split
        assert split is not None
        split.canary.version.breaker.took(0, 50)
        data = b"".join(request(infer_body(ROW, "me")) for _ in range(100))
        assert all(answer.startswith(b"HTTP/1.1 200") for answer in await talk(ports[0], data, 100))
        assert {(block.arm, block.version, block.rollout, block.share) for block in logged(gateway)} == {
            ("live", 1, 3, 0.25),
            ("fallback", 1, 3, 0.25),
        }

    run(placed, scenario, **with_canary(placed))


def row_of(placed: Placed, value: float) -> dict[str, float]:
    return {column.name: value if column.name == "mean radius" else 0.5 for column in placed.contract.columns}


def asked(placed: Placed, *values: float) -> list[tuple[bytes, str]]:
    """The same rows by each way in that reads them differently, as body and path."""
    rows = np.full((len(values), 30), 0.5, np.float32)
    rows[:, 0] = values
    frame = {"dataframe_split": {"columns": [column.name for column in placed.contract.columns], "data": rows.tolist()}}
    return [
        (infer_body(rows, "me"), "/v2/models/cancer/infer"),
        ([row_of(placed, value) for value in values], "/predict/cancer"),
        (frame, "/models/cancer/invocations"),
    ]


def test_a_key_column_keeps_its_values_together_on_every_way_in_and_is_logged_as_a_digest(placed: Placed) -> None:
    routed = with_canary(placed)
    keyed = {**routed, "canary": msgspec.structs.replace(routed["canary"], key="mean radius")}

    async def scenario(gateway: Gateway, ports: Ports) -> None:
        arms = []
        for value in range(80):
            found = []
            for body, path in asked(placed, float(value)):
                for port in ports[:2]:
                    (response,) = await talk(port, request(body, path, headers=f"X-Prodml-Key: {path}\r\n"))
                    assert response.startswith(b"HTTP/1.1 200")
            found = [(block.arm, block.keys) for block in gateway.blocks()][-6:]
            assert len({arm for arm, _ in found}) == 1 and len({tuple(keys) for _, keys in found}) == 1
            arms.append(found[0][0])
        assert binomtest(arms.count("canary"), 80, 0.25).pvalue > 0.001
        keys = {key for block in gateway.blocks() for key in block.keys}
        assert len(keys) == 80 and all(len(key) == 16 and set(key) <= set("0123456789abcdef") for key in keys)
        (missing,) = await talk(ports[0], request(infer_body(ROW, "me"), headers="X-Prodml-Key: ann\r\n"))
        assert missing.startswith(b"HTTP/1.1 200")

    run(placed, scenario, **keyed)


def test_outside_of_the_segment_the_live_version_answers_and_the_rollout_counts_nothing(placed: Placed) -> None:
    routed = with_canary(placed, share=0.5)
    segment = {**routed, "canary": msgspec.structs.replace(routed["canary"], segment=Segment("mean radius", "7"))}

    async def scenario(gateway: Gateway, ports: Ports) -> None:
        for index in range(40):
            for values in ((7.0,), (7.0, 7.0), (8.0,), (7.0, 8.0)):
                for body, path in asked(placed, *values):
                    (fast,) = await talk(ports[index % 2], request(body, path, headers=f"X-Prodml-Key: k{index}\r\n"))
                    assert fast.startswith(b"HTTP/1.1 200")
        seen = {
            (block.arm, block.rollout, bool((from_array(block.inputs["input"])[:, 0] == 7).all())) for block in gateway.blocks()
        }
        assert seen == {("live", 0, False), ("live", 3, True), ("canary", 3, True)}
        arms: dict[str, set[str]] = {}
        for block in gateway.blocks():
            if block.rollout:
                arms.setdefault(block.keys[0], set()).add(block.arm)
        assert len(arms) == 40 and all(len(each) == 1 for each in arms.values())

    run(placed, scenario, **segment)


WIDE = np.zeros((1, 3), np.float32)
"""Of another width than the model takes."""


def test_what_breaks_the_contract_is_logged_for_the_version_that_it_was_to_go_to(placed: Placed) -> None:
    async def scenario(gateway: Gateway, ports: Ports) -> None:
        for start in (0, 1):
            data = b"".join(request(infer_body(WIDE, "")) for _ in range(200))
            replies = await talk(ports[start], data, 200)
            assert {each[:12] for each in replies} == {b"HTTP/1.1 400"}
        for path, body, said in (
            ("/predict/cancer", {"radius": 1}, b"422"),
            ("/v2/models/cancer/infer", infer_body(WIDE, ""), b"400"),
        ):
            for _ in range(3):  # the same key, the same version
                (refused,) = await talk(ports[0], request(body, path, headers="X-Prodml-Key: ann\r\n"))
                assert refused[9:12] == said
        blocks = gateway.blocks()
        said = {(block.arm, tuple(block.status), block.rollout, block.share, len(block.inputs)) for block in blocks}
        assert said == {("rejected", (status,), 3, 0.25, 0) for status in (400, 422)} and len(blocks) == 406
        assert binomtest(sum(block.version == 2 for block in blocks[:400]), 400, 0.25).pvalue > 1e-4
        assert len({block.version for block in blocks[400:]}) == 1 and {tuple(block.keys) for block in blocks[400:]} == {("ann",)}

    run(placed, scenario, **with_canary(placed))


def test_what_breaks_the_contract_outside_of_a_rollout_is_not_logged(placed: Placed) -> None:
    async def scenario(gateway: Gateway, ports: Ports) -> None:
        for path in ("/v2/models/cancer/infer", "/v2/models/cancer/versions/2/infer", "/v2/models/cancer/versions/1/infer"):
            (refused,) = await talk(ports[0], request(infer_body(WIDE, ""), path))
            assert refused.startswith(b"HTTP/1.1 4")
        (broken,) = await talk(ports[0], request(infer_body(WIDE, ""), headers=f"X-Prodml-Key: {'k' * 500}\r\n"))
        assert broken.startswith(b"HTTP/1.1 4")
        assert {block.arm for block in gateway.blocks()} <= {"rejected"} and len(gateway.blocks()) <= expected

    expected = 0
    run(placed, scenario)
    expected = 1  # of the first alone: a named version is no part of it, a broken key is nobody's
    run(placed, scenario, **with_canary(placed))


def test_a_canary_whose_rows_say_who_answers_may_reject_what_the_live_version_takes(placed: Placed) -> None:
    keyed = with_canary(placed)
    keyed = {**keyed, "canary": msgspec.structs.replace(keyed["canary"], key="mean radius", share=0.5)}

    async def scenario(gateway: Gateway, ports: Ports) -> None:
        data = b"".join(request(infer_body(WIDE, "")) for _ in range(100))
        await talk(ports[0], data, 100)
        found = [block.version for block in gateway.blocks()]
        assert len(found) == 100 and binomtest(found.count(2), 100, 0.5).pvalue > 1e-4
        await talk(ports[0], request({"mean radius": 7.0}, "/predict/cancer"))
        assert gateway.blocks()[-1].arm == "rejected"  # a row without the other columns

    run(placed, scenario, **keyed)
    segmented = {**keyed, "canary": msgspec.structs.replace(keyed["canary"], segment=Segment("mean radius", "7"))}

    async def unread(gateway: Gateway, ports: Ports) -> None:
        before = len(gateway.blocks())
        await talk(ports[0], request(infer_body(WIDE, "")))
        assert len(gateway.blocks()) == before  # nobody knows whether it lies in the segment

    run(placed, unread, **segmented)


def test_a_canary_that_crashed_the_process_gets_no_traffic_and_is_reported(
    placed: Placed, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = placed.home / "run" / "gateway.canary"
    ShadowMarker(path).set("cancer", 2)  # as a process leaves it that dies in a run
    monkeypatch.setenv("PRODML_LAST_EXIT", "-11")
    marker = ShadowMarker(path)
    assert marker.quarantined() == {("cancer", 2)}

    async def scenario() -> None:
        log = RequestLog(SpoolWriter(placed.home / "spool"))
        router = Router(placed.home, log, Metrics(), Limits(), quarantined=marker.quarantined(), canary_marker=marker)
        route = Route("cancer", 1, live=1, **with_canary(placed))
        problems = await router.apply({"cancer": route}, 1)
        assert "version 2 crashed the gateway as the canary and is left out; see %rollout cancer" in problems["cancer"]
        assert router.lane("cancer").split is None
        assert router.report()[0].crashed == (2,)

    asyncio.run(scenario())


def test_a_live_version_that_crashed_the_process_is_reported_and_stands_in_for_nobody(
    placed: Placed, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = placed.home / "run" / "gateway.live"
    ShadowMarker(path).set("cancer", 2)
    monkeypatch.setenv("PRODML_LAST_EXIT", "-11")
    marker = ShadowMarker(path)

    async def scenario() -> None:
        log = RequestLog(SpoolWriter(placed.home / "spool"))
        router = Router(placed.home, log, Metrics(), Limits(), crashed=marker.quarantined(), live_marker=marker)
        both = with_canary(placed)["files"]
        assert await router.apply({"cancer": Route("cancer", 1, live=2, previous=1, files=both)}, 1) == {}
        live = router.lane("cancer")
        assert (live.version.version, live.version.marker, router.report()[0].crashed) == (2, marker, (2,))
        assert [each.version.version for each in live.fallbacks] == [1]
        await router.apply({"cancer": Route("cancer", 2, live=1, previous=2, files=both)}, 2)
        assert (router.lane("cancer").version.version, router.lane("cancer").fallbacks) == (1, ())

    asyncio.run(scenario())


def test_the_name_of_the_canary_stands_in_the_file_only_while_it_runs(placed: Placed) -> None:
    path = placed.home / "run" / "gateway.canary"
    marker = ShadowMarker(path)

    async def scenario() -> None:
        router = Router(placed.home, None, Metrics(), Limits(), canary_marker=marker)  # type: ignore[arg-type]
        assert await router.apply({"cancer": Route("cancer", 1, live=1, **with_canary(placed))}, 1) == {}
        split = router.lane("cancer").split
        assert split is not None
        names: list[bytes] = []
        session = split.canary.version.session
        honest = session.run

        class Watched:
            def run(self, tensors: Any) -> Any:
                names.append(path.read_bytes().rstrip(b"\0"))
                return honest(tensors)

        split.canary.version._version.session = Watched()  # type: ignore[attr-defined]
        run_timed(split.canary.version, {"input": ROW}, 1)
        assert names == [b"cancer@2"] and path.read_bytes().rstrip(b"\0") == b""

    asyncio.run(scenario())
