"""The real backend: the actions, on the home of the server's root folder."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from prodml_magics.errors import NotFound
from prodml_magics.lab.backend import Backend, WorkspaceBackend
from prodml_magics.wire.requests import Rollback, Timeline
from prodml_magics.wire.results import TimelineRecord
from prodml_magics.wire.status import StatusReport


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkspaceBackend:
    monkeypatch.delenv("PRODML_HOME", raising=False)
    monkeypatch.delenv("PRODML_DATABASE_URL", raising=False)
    return WorkspaceBackend(tmp_path)


def test_it_is_a_backend() -> None:
    assert issubclass(WorkspaceBackend, Backend)


def test_looking_at_a_home_in_which_nothing_was_done_creates_nothing(backend: WorkspaceBackend, tmp_path: Path) -> None:
    report = msgspec.convert(backend.status(), StatusReport)
    assert report.home == str(tmp_path / ".prodml")
    assert (report.gateway.state, report.controller.state, report.models) == ("down", "down", ())
    assert msgspec.convert(backend.timeline(Timeline()), TimelineRecord).entries == ()
    assert backend.revision() == 0
    assert list(tmp_path.iterdir()) == []


def test_errors_of_the_actions_come_through(backend: WorkspaceBackend) -> None:
    with pytest.raises(NotFound, match="cancer"):
        backend.rollback(Rollback(model="cancer"))
