"""Predictions need a token once there is one; what a token is not for is refused, over every route and by both protocols."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from homes import workspace_at
from serving.test_fast import answers, request, run
from serving.test_gateway import TOKEN, URL, Gateway, infer_body, serving
from serving.test_rpc import listening
from starlette.routing import Route as HttpRoute
from versions import Placed

from prodml_magics.actions.token import token
from prodml_magics.errors import Forbidden, Unauthorized
from prodml_magics.serving.access import Access
from prodml_magics.wire.requests import Token


def made(home: Path, name: str, *scopes: str, **flags) -> dict[str, str]:
    """The header of a new token."""
    record = token(workspace_at(home), Token(name=name, scope=scopes, **flags)).record
    return {"authorization": f"Bearer {Path(record.secret_file).read_text().strip()}"}


def headers(sent: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in sent.items()}


def test_without_tokens_predictions_are_open_and_control_routes_are_not(placed: Placed) -> None:
    async def scenario() -> None:
        async with serving(placed) as (_, client):
            assert (await client.post(URL, json=infer_body(placed.rows[:1]))).status_code == 200
            assert (await client.get("/admin/status")).status_code == 401
            made(placed.home, "operator", "admin")
            assert (await client.post(URL, json=infer_body(placed.rows[:1]))).status_code == 200, "it is for control routes alone"

    asyncio.run(scenario())


def test_each_token_opens_what_it_is_for_and_nothing_else(placed: Placed) -> None:
    async def scenario() -> None:
        async with serving(placed) as (gateway, client):
            every, one, other, admin = (
                made(placed.home, name, scope)
                for name, scope in (("all", "predict"), ("one", "predict:cancer"), ("other", "predict:else"), ("op", "admin"))
            )
            gateway.access.follow()
            own = {"authorization": f"Bearer {TOKEN}"}
            nobody: dict[str, str] = {}
            wrong = {"authorization": "Bearer " + "x" * 43}
            basic = {"authorization": every["authorization"].replace("Bearer", "Basic")}
            body = infer_body(placed.rows[:1])
            named = dict(zip((column.name for column in placed.contract.columns), map(float, placed.rows[0]), strict=True))
            for path, sent in ((URL, body), ("/predict/cancer", named), ("/models/cancer/invocations", {"instances": [named]})):
                found = {}
                for name, given in (("all", every), ("one", one), ("own", own), ("other", other), ("admin", admin)):
                    found[name] = (await client.post(path, json=sent, headers=given)).status_code
                assert found == {"all": 200, "one": 200, "own": 200, "other": 403, "admin": 403}, path
                for given in (nobody, wrong, basic):
                    refused = await client.post(path, json=sent, headers=given)
                    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
                    assert "Authorization: Bearer" in refused.json()["error"]
            assert (await client.post("/v2/models/nobody/infer", json=body)).status_code == 401, "not even names are told"
            assert (await client.post("/v2/models/nobody/infer", json=body, headers=one)).status_code == 403
            assert (await client.post("/v2/models/nobody/infer", json=body, headers=every)).status_code == 404
            assert (await client.get("/v2/models/cancer", headers=other)).status_code == 403
            assert (await client.get("/v2/models/cancer", headers=one)).status_code == 200
            assert (await client.get("/admin/status", headers=every)).status_code == 403
            assert (await client.get("/admin/status", headers=admin)).status_code == 200
            assert gateway.metrics.refused[401] >= 10

    asyncio.run(scenario())


OPEN = {"/v2", "/v2/", "/v2/openapi.json", "/v2/health/live", "/v2/health/ready", "/ping", "/health"}


def test_every_route_but_health_and_the_description_needs_a_token(placed: Placed) -> None:
    async def scenario() -> None:
        async with serving(placed) as (gateway, client):
            made(placed.home, "all", "predict")
            gateway.access.follow()
            for route in gateway.control.app().routes:
                assert isinstance(route, HttpRoute)
                path = route.path.format(model="cancer", version="1") if "{" in route.path else route.path
                method = "POST" if "POST" in (route.methods or ()) else "GET"
                answer = await client.request(method, path)
                assert (answer.status_code == 401) == (route.path not in OPEN), route.path

    asyncio.run(scenario())


def test_a_token_that_is_revoked_no_longer_opens_a_connection_that_it_opened(placed: Placed) -> None:
    async def scenario(gateway: Gateway, ports: Any) -> None:
        given = made(placed.home, "shop", "predict")
        gateway.access.follow()
        line = f"Authorization: {given['authorization']}\r\n"
        data = request(infer_body(placed.rows[:1]), headers=line)
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])

        async def ask() -> bytes:
            writer.write(data)
            (found,) = await asyncio.wait_for(answers(reader, 1), 10)
            return found.split(b" ", 2)[1]

        assert [await ask() for _ in range(4)] == [b"200"] * 4, "the head is known by now"
        token(workspace_at(placed.home), Token(name="shop", renew=True, grace="1h"))
        gateway.access.follow()
        assert await ask() == b"200", "the former secret still counts"
        token(workspace_at(placed.home), Token(name="other", scope=("predict",)))
        token(workspace_at(placed.home), Token(name="shop", revoke=True))
        gateway.access.follow()
        assert [await ask() for _ in range(2)] == [b"401"] * 2
        token(workspace_at(placed.home), Token(name="other", revoke=True))
        gateway.access.follow()
        assert await ask() == b"200", "nobody needs a token any more"
        writer.close()

    run(placed, scenario)


def test_grpc_asks_for_the_same_tokens(placed: Placed) -> None:
    async def scenario() -> None:
        async with listening(placed) as (gateway, ask):
            given = tuple(made(placed.home, "shop", "predict:cancer").items())
            other = tuple(made(placed.home, "other", "predict:else").items())
            gateway.access.follow()
            assert (await ask(placed.rows[:1], metadata=given)).model_version == "1"
            for metadata, code in (((), grpc.StatusCode.UNAUTHENTICATED), (other, grpc.StatusCode.PERMISSION_DENIED)):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await ask(placed.rows[:1], metadata=metadata)
                assert refused.value.code() == code

    asyncio.run(scenario())


def test_the_former_secret_counts_until_its_time_is_over(tmp_path: Path) -> None:
    now = [0.0]
    home = tmp_path / ".prodml"
    first = headers(made(home, "shop", "predict"))
    token(workspace_at(home), Token(name="shop", renew=True, grace="1h"))
    access = Access(home, TOKEN, lambda: now[0])
    assert access.tenant(first, "cancer") == "shop"
    now[0] = 4e9
    with pytest.raises(Unauthorized):
        access.tenant(first, "cancer")
    generation = access.generation
    access.follow()
    assert access.generation > generation, "connections that it opened are asked again"


def test_tokens_that_cannot_be_read_close_the_door(tmp_path: Path) -> None:
    home = tmp_path / ".prodml"
    given = headers(made(home, "op", "admin"))
    access = Access(home, TOKEN)
    access.check_admin(given)
    other = headers(made(home, "all", "predict"))
    access.follow()
    with pytest.raises(Forbidden):
        access.check_admin(other)
    (home / "tokens.json").write_bytes(b"{")
    access.follow()
    with pytest.raises(Unauthorized, match="cannot be read"):
        access.tenant(given, "cancer")
    access.check_admin({b"authorization": b"Bearer " + TOKEN.encode()})
