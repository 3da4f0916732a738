"""JupyterLab and Chromium, as a person would have them.

`start_lab` starts a JupyterLab with any environment and folder; `lab` is one whose services are a fake that the test
moves by hand; `page` is a browser tab that fails the test on an uncaught error or a request to another host.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from lab.fake_backend import FakeBackend
from playwright.sync_api import Browser, Page
from ui.lab_server import PANEL, Lab, running_lab


def _missing(what: str) -> None:
    """Skip, except on CI, where what is missing is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def panel_build() -> Path:
    """The built panel of this tree."""
    if not (PANEL / "package.json").exists():
        _missing(f"the panel is not built ({PANEL} is missing); run npm ci && npm run build")
    return PANEL


@pytest.fixture
def start_lab(panel_build: Path, tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    """Start a JupyterLab; takes the keywords of `running_lab` and ends it after the test."""
    with ExitStack() as stack:

        def start(**keywords: object) -> Lab:
            return stack.enter_context(running_lab(tmp_path, **keywords))

        yield start


@pytest.fixture
def lab(start_lab: Callable[..., Lab]) -> Lab:
    """A JupyterLab whose services are a `FakeBackend` in its root folder."""
    return start_lab(options=("--ProdmlApp.backend_class=lab.fake_backend.FakeBackend",))


@pytest.fixture
def backend(lab: Lab) -> FakeBackend:
    """What the services of `lab` are; moving it moves them."""
    return FakeBackend(lab.root)


@pytest.fixture
def page(browser: Browser, start_lab: object) -> Iterator[Page]:
    # It needs `start_lab` only in order to be closed before its server is: else its last requests fail.
    context = browser.new_context(viewport={"width": 1280, "height": 860}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(30_000)
    errors: list[str] = []
    strangers: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: _is_local(request.url) or strangers.append(request.url))
    yield page
    context.close()
    assert errors == [], "the page threw"
    assert strangers == [], "something was asked of another host"


def _is_local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob", "about") or parts.hostname in ("127.0.0.1", "localhost")
