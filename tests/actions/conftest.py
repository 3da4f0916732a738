"""A home with versions of ``cancer``, made once and copied for each test; nothing runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import add_version, go_live, workspace_at

from prodml_magics.actions.workspace import Workspace
from prodml_magics.clock import ManualClock


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cancer@1, cancer@2 and cancer@3, none of them deployed."""
    with workspace_at(tmp_path_factory.mktemp("actions") / ".prodml") as workspace:
        for version, c in ((1, 1.0), (2, 0.01), (3, 1e-4)):
            add_version(workspace, version, c=c)
    return workspace.home


@pytest.fixture
def workspace(registered: Path, tmp_path: Path) -> Iterator[Workspace]:
    shutil.copytree(registered, tmp_path / ".prodml")
    with workspace_at(tmp_path / ".prodml") as found:
        yield found


@pytest.fixture
def home(workspace: Workspace) -> Workspace:
    """cancer@1 live, by a clock that stands still."""
    manual = Workspace(workspace.home, actor="ann@laptop (test)", clock=ManualClock(), environment={})
    go_live(manual, 1)
    return manual
