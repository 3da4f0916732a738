"""The server extension: wires backend, routes and events into a running Jupyter server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from traitlets import Type

from prodml_magics.actions.workspace import find_home
from prodml_magics.lab.handlers import ROUTES
from prodml_magics.lab.watch import LedgerWatch
from prodml_magics.wire.panel import LEDGER_EVENT

__all__ = ["ProdmlApp"]

_EVENT_SCHEMA: dict[str, Any] = {
    "$id": LEDGER_EVENT,
    "version": "1",
    "title": "Ledger changed",
    "description": "Something was decided about a model; ask for the status again.",
    "type": "object",
    "required": ["revision"],
    "properties": {"revision": {"type": "integer", "title": "Revision", "description": "Changes when the ledger does."}},
}


class ProdmlApp(ExtensionApp):
    """The panel's server side."""

    name = "prodml"
    description = "What is live, how it fares, what was decided: the server side of the JupyterLab panel."

    backend_class: Type[Any, Any] = Type(
        "prodml_magics.lab.backend.WorkspaceBackend",
        klass="prodml_magics.lab.backend.Backend",
        config=True,
        help="Class that answers the panel; it is made with the server's root folder.",
    )

    def initialize_settings(self) -> None:
        root = Path(self.serverapp.root_dir)
        # Kernels inherit it, so that a notebook in any folder of this server acts in the home that the panel shows.
        os.environ.setdefault("PRODML_HOME", str(find_home(root.absolute())))
        self._backend = self.backend_class(root)
        self._watch = LedgerWatch(self._backend.revision, self._emit)
        self.serverapp.event_logger.register_event_schema(_EVENT_SCHEMA)

    def initialize_handlers(self) -> None:
        shared = {"backend": self._backend, "watch": self._watch}
        self.handlers.extend((path, handler, shared) for path, handler in ROUTES)

    async def stop_extension(self) -> None:
        self._watch.stop()

    def _emit(self, revision: int) -> None:
        self.serverapp.event_logger.emit(schema_id=LEDGER_EVENT, data={"revision": revision})
