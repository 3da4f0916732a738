"""The Jupyter server's door: what the JupyterLab panel sees of the services, and the two things it may do.

It answers under ``prodml/api/`` by calling actions, tells the panel over the server's event bus that the ledger has
grown, and holds no state that matters. The Jupyter server loads it; nothing else imports it.
"""

from __future__ import annotations

from typing import Any

__all__: list[str] = []


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from prodml_magics.lab.app import ProdmlApp

    return [{"module": "prodml_magics.lab", "app": ProdmlApp}]
