"""A gateway process that serves a classifier and an echo of every datatype, for tests of the protocols."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from echo import deploy_echo
from homes import add_version, services, workspace_at
from versions import Placed

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.services import Services
from prodml_magics.actions.workspace import Workspace
from prodml_magics.wire.requests import Deploy


@dataclass
class Served:
    """``cancer@1`` and ``echo@1`` live, ``cancer@2`` registered only, ``idle@1`` registered and never deployed."""

    workspace: Workspace
    services: Services
    placed: Placed

    @property
    def http(self) -> str:
        """host:port of the HTTP service."""
        return urlsplit(self.services.url() or "").netloc

    @property
    def grpc(self) -> str:
        """host:port of the gRPC service."""
        return str(self.services.runtime().gateway.grpc)  # type: ignore[union-attr]

    @property
    def token(self) -> str:
        """The bearer token of the home."""
        return self.services.runtime().token  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Both models behind both protocols."""
    workspace = workspace_at(tmp_path_factory.mktemp("served") / ".prodml")
    placed = add_version(workspace, 1)
    add_version(workspace, 2, c=0.01)
    add_version(workspace, 1, name="idle")
    with services(workspace) as running:
        deploy(workspace, Deploy(model="cancer@1"))
        deploy_echo(workspace)
        yield Served(workspace, running, placed)
