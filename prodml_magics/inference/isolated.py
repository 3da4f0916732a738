"""A model that answers from a process of its own, which may throw, hang or die in our place."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Literal

import msgspec
import numpy as np

from prodml_magics.errors import DeadlineExceeded, GateRefused, ModelFailure, Unavailable
from prodml_magics.inference.frames import receive, send
from prodml_magics.inference.messages import Answer, Run, Start, pack, unpack
from prodml_magics.inference.process import child_environment, command, how_it_ended
from prodml_magics.inference.providers import Device

__all__ = ["IsolatedSession", "RunRefused", "TimedOutputs"]

_QUIET_SECONDS = 60.0
_LONGEST_PAUSE = 30.0


class RunRefused(Exception):
    """The model threw on these rows; the message is its own. The process goes on."""


class TimedOutputs(dict[str, np.ndarray]):
    """Output tensors by name, and the `seconds` that the model itself took: what versions are compared by, wherever they run."""

    def __init__(self, outputs: Mapping[str, np.ndarray], seconds: float) -> None:
        super().__init__(outputs)
        self.seconds = seconds


class IsolatedSession:
    """``python -m module`` answering for one model over a local socket; one run at a time, each with a deadline.

    The process gets the model's bytes over the socket and never sees a file. One that hangs is ended at the deadline, and one that
    died or was ended is started anew by the next run: at once the first time, then after pauses that grow to 30 s while it keeps
    dying. It ends with this process, however this process ends.
    """

    isolated = True

    def __init__(
        self,
        module: str,
        model: bytes,
        contract: bytes,
        *,
        run_seconds: float = 30.0,
        start_seconds: float = 120.0,
        quiet: bool = False,
        device: Device = "cpu",
        gpu_bytes: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._module = module
        self.device: Literal["cpu", "gpu"] = "cpu"
        self._start = msgspec.msgpack.encode(Start(model, contract, device, gpu_bytes))
        self._run_seconds, self._start_seconds = run_seconds, start_seconds
        self._stderr = subprocess.DEVNULL if quiet else None
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._deaths = 0
        self._died_at = -_QUIET_SECONDS
        self._closed = False
        self._begin()

    @property
    def pid(self) -> int | None:
        """The process that answers; None between a death and the next run."""
        return None if self._process is None else self._process.pid

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The output tensors by name.

        Raises `RunRefused` when the model throws, `DeadlineExceeded` when it is still busy after `run_seconds`, `ModelFailure` when
        its process dies, and `Unavailable` while it is not yet time to start it again.
        """
        message = msgspec.msgpack.encode(Run(pack(tensors)))
        with self._lock:
            self._alive()
            answer = self._ask(message, self._run_seconds)
        if answer.refused:
            raise RunRefused(answer.refused)
        return TimedOutputs(unpack(answer.outputs[0]), answer.seconds)

    def end_runs(self, overdue: Callable[[int, float], bool]) -> int:
        """None: a run has its deadline, and is ended with its process."""
        return 0

    def close(self) -> None:
        """End the process; a run that is under way in another thread fails."""
        self._closed = True
        self._end()

    def _alive(self) -> None:
        if self._closed:
            raise Unavailable("this version was unloaded; ask for another one")
        if self._process is not None:
            return
        pause = 0.0 if self._deaths < 2 else min(0.5 * 2 ** (self._deaths - 2), _LONGEST_PAUSE)
        left = self._died_at + pause - self._monotonic()
        if left > 0:
            raise Unavailable(f"its process has died {self._deaths} times and is started again in {left:.1f} s; see gateway.log")
        try:
            self._begin()
        except GateRefused:
            self._note_death()
            raise

    def _begin(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                command(self._module),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                start_new_session=True,
                env=child_environment(),
            )
        self._link = ours
        try:
            answer = self._ask(self._start, self._start_seconds)
        except (ModelFailure, DeadlineExceeded) as error:
            raise GateRefused(f"the model cannot be loaded: {error}") from error
        if answer.refused:
            self._end()
            raise GateRefused(f"the model cannot be loaded: {answer.refused}")
        self.device = "gpu" if answer.device == "gpu" else "cpu"

    def _ask(self, message: bytes, seconds: float) -> Answer:
        link, process = self._link, self._process
        assert link is not None and process is not None
        link.settimeout(seconds)
        try:
            send(link, message)
            data = receive(link)
        except TimeoutError:
            self._end()
            self._note_death()
            raise DeadlineExceeded(f"it was still busy after {seconds:g} s, and its process was ended") from None
        except OSError:
            data = None
        if data is None:
            self._end()
            self._note_death()
            raise ModelFailure(f"its process died ({how_it_ended(process.returncode)}) and is started anew")
        return msgspec.msgpack.decode(data, type=Answer)

    def _note_death(self) -> None:
        now = self._monotonic()
        self._deaths = self._deaths + 1 if now - self._died_at < _QUIET_SECONDS else 1
        self._died_at = now

    def _end(self) -> None:
        process, link = self._process, self._link
        self._process = self._link = None
        if process is not None and process.poll() is None:
            # a process that closed its socket is on its way out by itself; its own exit code says more than our signal
            _end_process(process, 0.0 if self._closed else 0.2)
        if link is not None:
            link.close()


def _end_process(process: subprocess.Popen[bytes], patience: float) -> None:
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
