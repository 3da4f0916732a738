"""The ledger is looked at only while someone listens, and each change is told once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_server.serverapp import ServerApp
from lab.fake_backend import FakeBackend

from prodml_magics.clock import ManualClock
from prodml_magics.errors import Unavailable
from prodml_magics.lab.watch import LISTENING, LedgerWatch
from prodml_magics.wire.panel import LEDGER_EVENT


class Ledger:
    """A revision that a test sets, and the revisions that were told."""

    def __init__(self) -> None:
        self.number = 1
        self.told: list[int] = []
        self.clock = ManualClock()
        self.watch = LedgerWatch(self.revision, self.told.append, self.clock)

    def revision(self) -> int:
        if self.number < 0:
            raise Unavailable("the ledger is locked; try again")
        return self.number


async def test_each_change_is_told_once() -> None:
    ledger = Ledger()
    await ledger.watch.heard()
    for number in (1, 1, 2, 2, 5):
        ledger.number = number
        await ledger.watch.look()
    ledger.watch.stop()
    assert ledger.told == [2, 5]


async def test_nobody_listening_means_nobody_looking() -> None:
    ledger = Ledger()
    await ledger.watch.heard()
    await ledger.watch.look()
    ledger.clock.advance(LISTENING + 1)
    ledger.number = 2
    await ledger.watch.look()
    assert ledger.told == []
    assert not ledger.watch.watching


async def test_a_new_listener_starts_the_watch_again() -> None:
    ledger = Ledger()
    await ledger.watch.heard()
    ledger.watch.stop()
    ledger.number = 2
    await ledger.watch.heard()
    ledger.number = 3
    await ledger.watch.look()
    ledger.watch.stop()
    assert ledger.told == [3], "what changed before the listener asked is already in its answer"


async def test_a_ledger_out_of_reach_is_tried_again() -> None:
    ledger = Ledger()
    await ledger.watch.heard()
    await ledger.watch.look()
    ledger.number = -1
    await ledger.watch.look()
    ledger.number = 2
    await ledger.watch.look()
    ledger.watch.stop()
    assert ledger.told == [2]


async def test_the_event_bus_carries_the_change(
    jp_serverapp: ServerApp, jp_fetch: Callable[..., Any], backend: FakeBackend, jp_root_dir: Path
) -> None:
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def listener(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        heard.put_nowait({"schema_id": schema_id, **data})

    jp_serverapp.event_logger.add_listener(schema_id=LEDGER_EVENT, listener=listener)
    watch = jp_serverapp.extension_manager.extension_apps["prodml_magics.lab"].pop()._watch
    await jp_fetch("prodml", "api", "status")
    assert watch.watching
    backend.up()
    await watch.look()
    assert await asyncio.wait_for(heard.get(), 10) == {"schema_id": LEDGER_EVENT, "revision": 1}
