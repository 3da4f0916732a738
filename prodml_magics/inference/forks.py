"""Processes that are asked again and again, each message answered by a fork of one that has loaded what it takes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress

from prodml_magics.inference.forked import ANSWERED, NOTED
from prodml_magics.inference.frames import receive, send
from prodml_magics.inference.process import ChildFailed, ChildTimeout, child_environment, command, how_it_ended

__all__ = ["Forks"]


class Forks:
    """``python -m module``, which calls `forked.answer_each`: started by `start` or the first message, then kept for the next.

    Use it in a ``with`` block, or close it; it ends with this process as well, however that ends. Two threads may ask at once:
    the second one gets a process of its own.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._idle: list[_Forking] = []
        self._busy: list[_Forking] = []
        self._owner = os.getpid()

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Have a process ready for a message that is to come."""
        if not self._processes():
            self._idle.append(_Forking(self._module))

    def close(self) -> None:
        """End the processes, those too that are being asked, which fails; the next message starts another."""
        for process in self._processes():
            process.kill()
        while self._idle:
            self._idle.pop().end()

    def ask(self, message: bytes, timeout_s: float) -> bytes:
        """Send one message and return its answer; raises `ChildTimeout` or `ChildFailed`, and leaves nothing running then."""
        process = self._taken()
        self._busy.append(process)
        try:
            reply = process.ask(message, timeout_s)
        except BaseException:
            process.end()
            raise
        finally:
            self._busy.remove(process)
        self._idle.append(process)
        if reply[:1] != ANSWERED:
            raise ChildFailed(reply[1:].decode(errors="replace"))
        return reply[1:]

    def _taken(self) -> _Forking:
        self._processes()
        while True:
            try:
                process = self._idle.pop()
            except IndexError:
                return _Forking(self._module)
            if process.alive:
                return process
            process.end()

    def _processes(self) -> list[_Forking]:
        """All of them; none in a fork of whoever started them, where they are another one's."""
        if self._owner != os.getpid():
            self._idle, self._busy, self._owner = [], [], os.getpid()
        return [*self._idle, *self._busy]


class _Forking:
    """One such process and our end of its socket."""

    def __init__(self, module: str) -> None:
        self._link, theirs = socket.socketpair()
        # forks have one thread each, and what a library's threads held would stay held in them
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the process writes
        single = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        with theirs:
            self._process = subprocess.Popen(
                command(module),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                start_new_session=True,
                env=child_environment() | single,
            )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, message: bytes, timeout_s: float) -> bytes:
        deadline, at = time.monotonic() + timeout_s, ""
        self._link.settimeout(timeout_s)
        try:
            send(self._link, message)
            while (reply := self._received(deadline)) is not None and reply[:1] == NOTED:
                at = reply[1:].decode(errors="replace")
        except TimeoutError:
            raise ChildTimeout(f"no answer within {timeout_s:g} s", at) from None
        except OSError:
            reply = None
        if reply is None:
            raise ChildFailed(self._ending())
        return bytes(reply)

    def _received(self, deadline: float) -> bytearray | None:
        self._link.settimeout(max(1e-3, deadline - time.monotonic()))
        return receive(self._link)

    def kill(self) -> None:
        """End it and its fork, which share a process group."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """The same, and give back what is held for it."""
        self.kill()
        self._process.wait()
        self._link.close()
        self._said.close()

    def _ending(self) -> str:
        """How it ended; it closed its socket, so that it is on its way out."""
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(2)
            self._said.seek(0)
            return how_it_ended(code, self._said.read())
        return "it closed its socket"
