"""A child process that gets one message and gives one answer, with a deadline.

Started by exec, never fork; in a session of its own, so that Ctrl-C in the notebook does not reach it and that it can be
ended whole by its own process group. The message goes in on stdin, the answer comes out on stdout.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

__all__ = ["Child", "ChildFailed", "ChildTimeout", "child_environment", "command", "how_it_ended", "limit_memory"]


class ChildFailed(Exception):
    """The child ended without an answer; the message says how."""


class ChildTimeout(Exception):
    """The child was still busy at the deadline and was ended; `at` is what it had noted last, empty where it had not."""

    def __init__(self, message: str, at: str = "") -> None:
        super().__init__(message)
        self.at = at


class Child:
    """``python -m module`` waiting for its message; use it in a ``with`` block, which never leaves it behind."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [*command(module), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=child_environment(),
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def ask(self, message: bytes, timeout_s: float) -> bytes:
        """Send the one message and return the answer; raises `ChildTimeout` or `ChildFailed`."""
        try:
            answer, stderr = self._process.communicate(message, timeout_s)
        except subprocess.TimeoutExpired:
            self._end()
            raise ChildTimeout(f"no answer within {timeout_s:g} s") from None
        if self._process.returncode:
            raise ChildFailed(how_it_ended(self._process.returncode, stderr))
        return answer

    def _end(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                stream.close()


def limit_memory(more: int) -> None:
    """Let this process map `more` bytes beyond what it has mapped already; a system without such limits goes on without."""
    with suppress(ValueError, OSError):
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + more,) * 2)


def command(module: str) -> list[str]:
    """How `module` is started."""
    # -P: a file of the user's called onnx.py in the working directory must not be imported in the child
    return [sys.executable, "-P", "-m", module]


def child_environment() -> dict[str, str]:
    """Ours, with this package importable in the child from where it was imported here."""
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def how_it_ended(code: int, stderr: bytes = b"") -> str:
    """The signal, the last line of `stderr`, or the exit code, in words."""
    if code < 0:
        return f"it was ended by {signal.Signals(-code).name}"
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else f"it ended with exit code {code}"
