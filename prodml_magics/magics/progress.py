"""What a verb that takes seconds is busy with, in one line that goes away: only where a person looks on."""

from __future__ import annotations

import html
import os
from typing import Any

__all__ = ["ProgressLine"]

_STEPS = ("converting and proving", "measuring", "profiling", "writing to MLflow")


class ProgressLine:
    """A bar and the name of the step that is under way; use it in a ``with`` block, which takes it away again.

    It shows nothing where no Jupyter server runs the kernel: a notebook that runs by itself keeps no trace of it.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._handle: Any = None
        self._done = 0

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._handle.update({"text/plain": "", "text/html": ""}, raw=True)

    def __call__(self, step: str) -> None:
        """`step` has begun."""
        if not os.environ.get("JPY_SESSION_NAME"):
            return
        from IPython.display import display

        if step in _STEPS:
            self._done = _STEPS.index(step)
        shown = self._bundle(step)
        if self._handle is None:
            self._handle = display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)

    def _bundle(self, step: str) -> dict[str, str]:
        text = f"{self._title}: {step} ({self._done + 1} of {len(_STEPS)})"
        bar = f'<progress max="{len(_STEPS)}" value="{self._done + 0.5}"></progress>'
        return {"text/plain": text, "text/html": f"<div>{bar} {html.escape(text)}</div>"}
