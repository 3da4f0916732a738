"""A Jupyter server with the extension loaded and a backend that tests move by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lab.fake_backend import FakeBackend

# The fixtures and the runner of coroutine tests; imported here so that they apply to this folder only.
from pytest_jupyter.jupyter_server import *  # noqa: F403


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return {
        "ServerApp": {"jpserver_extensions": {"prodml_magics.lab": True}, "allow_unauthenticated_access": False},
        "ProdmlApp": {"backend_class": "lab.fake_backend.FakeBackend"},
    }


@pytest.fixture
def backend(jp_root_dir: Path) -> FakeBackend:
    """The backend of the server under test: another instance, the same state."""
    return FakeBackend(jp_root_dir)
