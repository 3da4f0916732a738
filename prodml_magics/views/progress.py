"""What a verb that takes seconds is busy with, in one line that goes away: only where a person looks on."""

from __future__ import annotations

import html
import os
import shutil
import sys
from typing import Any, TextIO

__all__ = ["ProgressLine"]

_STEPS = ("converting and proving", "measuring", "profiling", "writing to MLflow")
_WIDTH = 20


class ProgressLine:
    """A bar and the name of the step that is under way; use it in a ``with`` block, which takes it away again.

    In a notebook with a Jupyter server it is an output, in a terminal the last line of stderr. Elsewhere it shows nothing: a
    notebook that runs by itself, a log and a pipe keep no trace of it.
    """

    def __init__(self, title: str, terminal: TextIO | None = None) -> None:
        self._title = title
        self._terminal = terminal or sys.stderr
        self._handle: Any = None
        self._done = 0
        self._drawn = False

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._handle.update({"text/plain": "", "text/html": ""}, raw=True)
        if self._drawn:
            self._terminal.write("\r\x1b[K")
            self._terminal.flush()

    def __call__(self, step: str) -> None:
        """`step` has begun."""
        if step in _STEPS:
            self._done = _STEPS.index(step)
        text = f"{self._title}: {step} ({self._done + 1} of {len(_STEPS)})"
        if os.environ.get("JPY_SESSION_NAME"):
            self._show(text)
        elif self._terminal.isatty() and os.environ.get("TERM") != "dumb":
            self._draw(text)

    def _show(self, text: str) -> None:
        from IPython.display import display

        bar = f'<progress max="{len(_STEPS)}" value="{self._done + 0.5}"></progress>'
        shown = {"text/plain": text, "text/html": f"<div>{bar} {html.escape(text)}</div>"}
        if self._handle is None:
            self._handle = display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)

    def _draw(self, text: str) -> None:
        full = round(_WIDTH * (self._done + 0.5) / len(_STEPS))
        line = f"{'━' * full}{'╌' * (_WIDTH - full)} {text}"
        if (self._terminal.encoding or "ascii").lower().replace("-", "") != "utf8":
            line = f"[{'#' * full}{'.' * (_WIDTH - full)}] {text}"
        columns = shutil.get_terminal_size().columns
        self._terminal.write(f"\r\x1b[K{line[: columns - 1]}")  # a line that wraps could not be taken away
        self._terminal.flush()
        self._drawn = True
