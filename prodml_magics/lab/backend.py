"""What the handlers need from the product, and how the actions give it to them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from prodml_magics.wire.requests import Request, Rollback, Status, Timeline, Up

if TYPE_CHECKING:
    from prodml_magics.actions.workspace import Workspace

__all__ = ["Backend", "WorkspaceBackend"]


@runtime_checkable
class Backend(Protocol):
    """The product as the panel uses it; every call may block, and may come from any thread."""

    def status(self) -> dict[str, Any]:
        """A `StatusReport`."""
        ...

    def timeline(self, request: Timeline) -> dict[str, Any]:
        """A `TimelineRecord`."""
        ...

    def up(self) -> dict[str, Any]:
        """Start gateway and controller."""
        ...

    def rollback(self, request: Rollback) -> dict[str, Any]:
        """Put all traffic of a model back on its previous version."""
        ...

    def revision(self) -> int:
        """A number that changes when the ledger does; cheap enough to ask for every second."""
        ...


class WorkspaceBackend:
    """The actions, on the home that a notebook in the server's root folder would use."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def _workspace(self) -> Workspace:
        # Actions are imported on the first call, so that a server starts no slower for having the extension.
        from prodml_magics.actions.workspace import Workspace

        return Workspace.open(self._root, door="lab")

    def _run(self, request: Request) -> dict[str, Any]:
        from prodml_magics.actions import verbs

        answer: dict[str, Any] = verbs.run(self._workspace, request).to_dict()
        return answer

    def status(self) -> dict[str, Any]:
        return self._run(Status())

    def timeline(self, request: Timeline) -> dict[str, Any]:
        return self._run(request)

    def up(self) -> dict[str, Any]:
        return self._run(Up())

    def rollback(self, request: Rollback) -> dict[str, Any]:
        return self._run(request)

    def revision(self) -> int:
        return int(self._workspace.ledger_revision())
