"""A process that counts pages for another one: threads of one process hinder each other, since each step of theirs is short.

Run as ``python -m prodml_magics.actions.page_child``; it reads and writes pickles of its parent's, and ends with it.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, cast

from prodml_magics.inference.process import child_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prodml_magics.actions.paged import Task
    from prodml_magics.actions.plain_pages import PlainFile
    from prodml_magics.stats.drift.numeric_sketch import NumericSketch, SketchGrid

__all__ = ["PageChild"]


class PageChild:
    """Counts as its parent would; OSError or EOFError when it is no more."""

    def __init__(self, file: PlainFile, grids: Mapping[str, SketchGrid]) -> None:
        command = [sys.executable, "-m", "prodml_magics.actions.page_child"]
        # A session of its own: an interrupt from the keyboard is the parent's, which then ends it.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=child_environment(),
        )
        # Tasks bring their pages with them.
        told = file._replace(path=file.path.absolute(), columns={}, footer=file.footer if file.coded else None)
        self._first: Any = (told, dict(grids))

    def __call__(self, task: Task) -> NumericSketch | None:
        stdin, stdout = cast("IO[bytes]", self._process.stdin), cast("IO[bytes]", self._process.stdout)
        if self._first is not None:
            pickle.dump(self._first, stdin)
            self._first = None
        pickle.dump(task, stdin)
        stdin.flush()
        found: NumericSketch | None = pickle.load(stdout)
        return found

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):
                cast("IO[bytes]", pipe).close()


def _main() -> None:
    from prodml_magics.actions.paged import counted
    from prodml_magics.stats.drift.counter import binned
    from prodml_magics.stats.drift.scratch import Scratch

    scratch = Scratch()
    file, grids = pickle.load(sys.stdin.buffer)
    made: dict[str, Any] = {}
    while True:
        try:
            task = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        if task.name not in made:
            made[task.name] = binned(grids[task.name])
        pickle.dump(counted(file, task, grids[task.name], made[task.name], scratch), sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _main()
