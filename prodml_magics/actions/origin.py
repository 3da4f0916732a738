"""From which notebook cell an action comes: what IPython knows of the cell that runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from prodml_magics.wire.events import Cell

__all__ = ["cell_of", "current_cell"]

_LONGEST = 2_000


def cell_of(shell: Any, environment: Mapping[str, str] = os.environ) -> Cell | None:
    """The cell that `shell`, an IPython shell, runs; none outside of one. Its source is cut at 2,000 characters."""
    sources = getattr(getattr(shell, "history_manager", None), "input_hist_raw", None)
    if not sources or not sources[-1]:
        return None
    notebook = PurePath(environment.get("JPY_SESSION_NAME", "")).name
    return Cell(number=len(sources) - 1, source=str(sources[-1])[:_LONGEST], notebook=notebook)


def current_cell() -> Cell | None:
    """The cell that runs in this process, where IPython is loaded in it."""
    found = sys.modules.get("IPython")
    shell = found.get_ipython() if found is not None else None
    return None if shell is None else cell_of(shell)
