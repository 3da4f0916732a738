"""What the controller does by the clock: bring the request log into the lake, keep MLflow's aliases as the ledger has them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import datetime

from prodml_magics.actions.switch import mirror_aliases
from prodml_magics.actions.workspace import Workspace
from prodml_magics.storage.drain import Drainer
from prodml_magics.storage.lake import LakeRows
from prodml_magics.wire.admin import Drained

__all__ = ["REPAIR_SECONDS", "Draining", "Mirroring"]


class Draining:
    """The one drainer of a home; asked by the clock and by whoever wants to see the latest rows."""

    def __init__(
        self,
        workspace: Workspace,
        took: Callable[[str, LakeRows], None] = lambda _model, _rows: None,
        drained: Callable[[], None] = lambda: None,
    ) -> None:
        """`took` is told of rows that are in the lake, `drained` that all have been told of."""
        self._clock = workspace.clock
        self._drainer = Drainer(workspace.home / "spool", workspace.lake, workspace.contract, took)
        self._drained = drained
        self._one_at_a_time = threading.Lock()
        self._until: datetime | None = None
        self._rows = 0

    def drain(self) -> Drained:
        """Everything answered before this moment is in the lake when this returns; raises `Unavailable` when it cannot be."""
        with self._one_at_a_time:
            began = self._clock.now()
            self._rows += self._drainer.drain()
            self._until = began
            self._drained()
        return self.report()

    def report(self) -> Drained:
        """How far the lake reaches."""
        return Drained(until=self._until, rows=self._rows, problems=dict(self._drainer.problems), pid=os.getpid())


REPAIR_SECONDS = 60.0
"""How long aliases that somebody moved behind the ledger's back may stay so."""


class Mirroring:
    """Writes MLflow's aliases after changes whose caller has not, and repairs them when somebody else moved them."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._seen = 0
        self._looked = workspace.clock.monotonic()
        self.problems: dict[str, str] = {}

    def mirror(self) -> bool:
        """Mirror every model when the ledger has changed, and every `REPAIR_SECONDS`; returns whether it looked."""
        last_id = self._workspace.ledger_revision()
        now = self._workspace.clock.monotonic()
        if last_id == self._seen and not self.problems and now - self._looked < REPAIR_SECONDS:
            return False
        self._looked = now
        names = self._workspace.ledger.routes()
        self.problems = {name: problem for name in names if (problem := mirror_aliases(self._workspace, name))}
        self._seen = last_id
        return True
