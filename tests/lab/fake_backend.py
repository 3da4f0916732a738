"""A backend whose whole state is one JSON file, so that a test in another process can move it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from prodml_magics import errors
from prodml_magics.wire.requests import Rollback, Timeline
from prodml_magics.wire.results import TimelineRecord
from prodml_magics.wire.status import ControllerStatus, GatewayStatus, StatusReport, TimelineEntry

STATE_FILE = "state.json"


class State(msgspec.Struct, kw_only=True):
    """What the backend says until it is told otherwise."""

    status: StatusReport
    entries: tuple[TimelineEntry, ...] = ()
    """Oldest first."""
    revision: int = 0
    error: tuple[str, str] | None = None
    """Name of the error class to raise on every call, and its message."""
    asked: list[str] = []
    """Every change that was asked for, as text."""


class FakeBackend:
    """Implements `prodml_magics.lab.backend.Backend`."""

    def __init__(self, root: Path) -> None:
        self._file = root / STATE_FILE
        if not self._file.exists():
            self.write(State(status=nothing_yet(root)))

    def read(self) -> State:
        return msgspec.json.decode(self._file.read_bytes(), type=State)

    def write(self, state: State) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(state))
        fresh.replace(self._file)

    def status(self) -> dict[str, Any]:
        return _plain(self._state().status)

    def timeline(self, request: Timeline) -> dict[str, Any]:
        return _plain(TimelineRecord(entries=self._state().entries[-request.limit :]))

    def up(self) -> dict[str, Any]:
        state = self._state()
        running = msgspec.structs.replace(
            state.status,
            gateway=GatewayStatus(state="up", url="http://127.0.0.1:8571", pids=(4711, 4712)),
            controller=ControllerStatus(state="up", pid=4713),
        )
        self._change(state, running, "up")
        return {}

    def rollback(self, request: Rollback) -> dict[str, Any]:
        state = self._state()
        models = tuple(
            msgspec.structs.replace(model, live=model.previous, previous=model.live) if model.name == request.model else model
            for model in state.status.models
        )
        self._change(state, msgspec.structs.replace(state.status, models=models), f"rollback {request.model}: {request.why}")
        return {}

    def revision(self) -> int:
        return self._state().revision

    def _state(self) -> State:
        state = self.read()
        if state.error is not None:
            kind, message = state.error
            raise getattr(errors, kind)(message)
        return state

    def _change(self, state: State, status: StatusReport, what: str) -> None:
        state.status = status
        state.revision += 1
        state.asked.append(what)
        self.write(state)


def nothing_yet(root: Path) -> StatusReport:
    """A home in which nothing was ever done."""
    down = GatewayStatus(state="down")
    return StatusReport(home=str(root / ".prodml"), gateway=down, controller=ControllerStatus(state="down"))


def _plain(record: msgspec.Struct) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(record)
    return plain
