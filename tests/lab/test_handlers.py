"""The routes answer, refuse, and report errors as the panel expects."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from lab.fake_backend import FakeBackend
from tornado.httpclient import HTTPClientError

from prodml_magics.wire.status import ModelStatus, StatusReport, TimelineEntry

Fetch = Callable[..., Any]


def _entry(number: int) -> TimelineEntry:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return TimelineEntry(id=number, at=at, actor="ana", model="cancer", kind="deploy", summary=f"version {number} live")


async def test_status_is_the_report_of_the_backend(jp_fetch: Fetch, backend: FakeBackend) -> None:
    answer = await jp_fetch("prodml", "api", "status")
    assert msgspec.json.decode(answer.body, type=StatusReport) == backend.read().status


async def test_answers_are_json_that_no_cache_keeps(jp_fetch: Fetch) -> None:
    answer = await jp_fetch("prodml", "api", "status")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_timeline_is_as_long_as_asked(jp_fetch: Fetch, backend: FakeBackend) -> None:
    state = backend.read()
    state.entries = tuple(_entry(number) for number in (1, 2, 3))
    backend.write(state)
    answer = await jp_fetch("prodml", "api", "timeline", params={"limit": 2, "1795430727482": ""})
    assert [entry["id"] for entry in json.loads(answer.body)["entries"]] == [2, 3]


async def test_up_starts_the_services(jp_fetch: Fetch, backend: FakeBackend) -> None:
    await jp_fetch("prodml", "api", "up", method="POST", body="")
    assert backend.read().asked == ["up"]


async def test_rollback_passes_on_model_and_reason(jp_fetch: Fetch, backend: FakeBackend) -> None:
    state = backend.read()
    state.status = msgspec.structs.replace(state.status, models=(ModelStatus(name="cancer", live=2, previous=1),))
    backend.write(state)
    await jp_fetch("prodml", "api", "rollback", method="POST", body=json.dumps({"model": "cancer", "why": "worse"}))
    assert backend.read().asked == ["rollback cancer: worse"]
    assert backend.read().status.models[0].live == 1


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("{}", "missing required field `model`"),
        ('{"model": 3}', "Expected `str`"),
        ('{"model": "cancer", "moddel": 1}', "unknown field `moddel`"),
        ("[]", "Expected `object`"),
        ("", "got `null`"),
        ("{", "Invalid JSON"),
    ],
)
async def test_a_wrong_body_is_a_400_that_says_why(jp_fetch: Fetch, backend: FakeBackend, body: str, complaint: str) -> None:
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch("prodml", "api", "rollback", method="POST", body=body)
    assert caught.value.code == 400
    assert complaint in json.loads(caught.value.response.body)["error"]
    assert backend.read().asked == []


@pytest.mark.parametrize("limit", ["0", "many", "10001", "1.5"])
async def test_a_wrong_limit_is_a_400(jp_fetch: Fetch, limit: str) -> None:
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch("prodml", "api", "timeline", params={"limit": limit})
    assert caught.value.code == 400


@pytest.mark.parametrize(("kind", "status"), [("NotFound", 404), ("Conflict", 409), ("Unavailable", 503), ("GateRefused", 409)])
async def test_our_errors_keep_their_status_and_message(jp_fetch: Fetch, backend: FakeBackend, kind: str, status: int) -> None:
    state = backend.read()
    state.error = (kind, "the ledger is 100% full; make room")
    backend.write(state)
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch("prodml", "api", "status")
    assert caught.value.code == status
    assert json.loads(caught.value.response.body) == {"error": "the ledger is 100% full; make room"}
