"""The ledger: order, one winner per revision, yesterday's file, unusable stores."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prodml_magics.errors import Conflict, NotFound, Unavailable
from prodml_magics.storage.ledger import Ledger, sqlite_url
from prodml_magics.wire.routes import Route, ShadowRoute, VersionFiles

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(sqlite_url(tmp_path / "ledger.db"))


def append(ledger: Ledger, revision: int, model: str = "cancer", **changes: Any) -> Any:
    route = Route(
        model=model, revision=revision, live=revision, shadows=(ShadowRoute(9, 0.5),), files=(VersionFiles(1, "f", "a", "b"),)
    )
    values = {"kind": "deploy", "payload": {"route": msgspec.to_builtins(route)}, "at": AT, "actor": "ann", "cause": "why not"}
    return ledger.append(**(values | changes), model=model, expected=revision - 1)


def test_events_come_back_as_they_went_in(ledger: Ledger) -> None:
    written = append(ledger, 1, inverse={"route": {}})
    assert ledger.events() == [written]
    assert ledger.event(written.id) == written
    assert (written.at, written.actor, written.revision, written.cause) == (AT, "ann", 1, "why not")
    with pytest.raises(NotFound, match="no entry 99"):
        ledger.event(99)


def test_state_is_a_fold_over_the_latest_routes(ledger: Ledger) -> None:
    for revision in (1, 2, 3):
        append(ledger, revision)
    append(ledger, 1, "digits")
    append(ledger, 4, kind="register", payload={"version": 7})
    assert {name: route.live for name, route in ledger.routes().items()} == {"cancer": 3, "digits": 1}
    assert ledger.route("cancer").revision == 4
    assert ledger.route("nobody") == Route(model="nobody", revision=0)
    assert [event.revision for event in ledger.events("cancer", limit=2)] == [3, 4]
    assert ledger.last_id() == 5


def test_of_two_who_read_the_same_revision_one_wins_and_the_other_is_told_by_whom(ledger: Ledger) -> None:
    append(ledger, 1)
    append(ledger, 2, actor="ben")
    with pytest.raises(Conflict, match="cancer was changed by ben"):
        append(ledger, 2)
    assert ledger.revision("cancer") == 2


def test_racing_writers_leave_one_event_per_revision(tmp_path: Path) -> None:
    wins: list[int] = []

    def race(name: int) -> None:
        own = Ledger(sqlite_url(tmp_path / "ledger.db"))
        for _ in range(20):
            try:
                append(own, own.revision("cancer") + 1, actor=str(name))
            except Conflict:
                continue
            wins.append(name)
        own.close()

    threads = [threading.Thread(target=race, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger = Ledger(sqlite_url(tmp_path / "ledger.db"))
    assert [event.revision for event in ledger.events()] == list(range(1, len(wins) + 1))
    ledger.close()


def test_unusable_ledgers_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be used"):
        Ledger(sqlite_url(tmp_path / "absent" / "ledger.db"))
    (tmp_path / "ledger.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(Unavailable, match="cannot be used"):
        Ledger(sqlite_url(tmp_path / "ledger.db"))


def test_a_ledger_from_tomorrow_is_refused(tmp_path: Path) -> None:
    Ledger(sqlite_url(tmp_path / "ledger.db")).close()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("UPDATE format SET version = 99")
    connection.close()
    with pytest.raises(Unavailable, match="format 99"):
        Ledger(sqlite_url(tmp_path / "ledger.db"))
