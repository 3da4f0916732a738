"""Every route asks who is there, what they may do, and whether the request comes from our own page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from jupyter_server.auth import Authorizer
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.serverapp import ServerApp
from tornado.httpclient import HTTPClientError

from prodml_magics.lab.handlers import ROUTES, PanelHandler

Fetch = Callable[..., Any]

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
CALLS = [
    (method, path)
    for path, handler in ROUTES
    for method in METHODS
    if getattr(handler, method.lower()) is not getattr(PanelHandler, method.lower())
]


class Nobody(Authorizer):
    """Knows everyone and lets no one touch our resource."""

    def is_authorized(self, handler: JupyterHandler, user: Any, action: str, resource: str) -> bool:
        return resource != "prodml"


def _body(method: str) -> str | None:
    return None if method == "GET" else "{}"


def test_the_table_covers_every_route() -> None:
    assert {path for _, path in CALLS} == {path for path, _ in ROUTES}
    assert len(CALLS) >= 4


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_a_stranger_is_refused(jp_serverapp: ServerApp, http_server_client: Any, method: str, path: str) -> None:
    url = jp_serverapp.base_url.rstrip("/") + path
    with pytest.raises(HTTPClientError) as caught:
        await http_server_client.fetch(url, method=method, body=_body(method), follow_redirects=False)
    assert caught.value.code == 403


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_a_user_without_the_right_is_refused(jp_serverapp: ServerApp, jp_fetch: Fetch, method: str, path: str) -> None:
    jp_serverapp.web_app.settings["authorizer"] = Nobody(parent=jp_serverapp)
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch(*path.strip("/").split("/"), method=method, body=_body(method))
    assert caught.value.code == 403


@pytest.mark.parametrize("path", [path for method, path in CALLS if method == "POST"])
async def test_a_foreign_page_with_our_cookie_is_refused(jp_serverapp: ServerApp, http_server_client: Any, path: str) -> None:
    base = jp_serverapp.base_url.rstrip("/")
    token = jp_serverapp.identity_provider.token
    page = await http_server_client.fetch(f"{base}/api/status?token={token}")
    cookie = "; ".join(header.split(";")[0] for header in page.headers.get_list("Set-Cookie") if not header.startswith("_xsrf"))
    assert cookie
    with pytest.raises(HTTPClientError) as caught:
        await http_server_client.fetch(f"{base}{path}", method="POST", body="{}", headers={"Cookie": cookie})
    assert caught.value.code == 403
    assert b"_xsrf" in caught.value.response.body
