"""The append-only table of everything that was decided; the current state is a fold over it.

One SQL table through SQLAlchemy Core, SQLite in WAL mode by default, any database by URL. ``(model, revision)`` is unique:
who appends states the revision that it read, and is refused when somebody else has written since.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from prodml_magics.errors import Conflict, NotFound, Unavailable, first_line
from prodml_magics.wire.events import ROUTE_KINDS, Event
from prodml_magics.wire.rollouts import RolloutState
from prodml_magics.wire.routes import Route

__all__ = ["LEDGER_FORMAT", "Ledger", "sqlite_url"]

LEDGER_FORMAT = 1
"""Kept in the table ``format``; raise it with a migration that reads every older one."""

_BUSY_SECONDS = 10

_metadata = sa.MetaData()
_events = sa.Table(
    "events",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("model", sa.String(100), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("inverse", sa.Text),
    sa.Column("cause", sa.Text, nullable=False),
    sa.UniqueConstraint("model", "revision"),
    sqlite_autoincrement=True,
)
_evidence = sa.Table(
    "evidence",
    _metadata,
    sa.Column("model", sa.String(100), primary_key=True),
    sa.Column("rollout", sa.Integer, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
)
"""What the latest rollout of a model rests on, rewritten as it grows; the decisions themselves are events."""

_format = sa.Table("format", _metadata, sa.Column("version", sa.Integer, primary_key=True))


def sqlite_url(path: Path) -> str:
    """The database URL of a SQLite file."""
    return str(URL.create("sqlite", database=str(path)))


class Ledger:
    """The ledger at a database URL; `create` makes its tables, reading alone never writes.

    Errors of the database surface as `Unavailable` with the reason; a lost race as `Conflict`.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        self._url = make_url(url)
        self._engine = sa.create_engine(self._url, connect_args=_connect_args(self._url), pool_pre_ping=not _is_sqlite(self._url))
        if _is_sqlite(self._url):
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
        if create:
            self._create()

    def _create(self) -> None:
        # Several processes may open a new ledger at once: each statement stands alone, and the loser of a race has nothing to do.
        with _Readable(self._url):
            for table in _metadata.sorted_tables:
                with self._engine.begin() as connection:
                    connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
            found = self._scalar(sa.select(sa.func.max(_format.c.version)))
            if not found:
                with contextlib.suppress(sa.exc.IntegrityError), self._engine.begin() as connection:
                    connection.execute(_format.insert().values(version=LEDGER_FORMAT))
        if found > LEDGER_FORMAT:
            raise Unavailable(f"the ledger has format {found}, this release reads up to {LEDGER_FORMAT}; upgrade prodml-magics")

    def append(
        self,
        *,
        kind: str,
        model: str,
        expected: int,
        payload: dict[str, Any],
        at: datetime,
        actor: str,
        inverse: dict[str, Any] | None = None,
        cause: str = "",
    ) -> Event:
        """Append one event as revision ``expected + 1`` of `model`; `Conflict` when that revision exists already."""
        values = {
            "at": at.astimezone(UTC).isoformat(timespec="microseconds"),
            "actor": actor[:200],
            "kind": kind,
            "model": model,
            "revision": expected + 1,
            "payload": msgspec.json.encode(payload).decode(),
            "inverse": None if inverse is None else msgspec.json.encode(inverse).decode(),
            "cause": cause,
        }
        try:
            with _Readable(self._url), self._engine.begin() as connection:
                key = connection.execute(_events.insert().values(**values)).inserted_primary_key
        except sa.exc.IntegrityError as error:
            raise Conflict(
                f"{model} was changed by {self._who(model, expected + 1)} in the meantime; look at %timeline {model}, then try again"
            ) from error
        assert key is not None
        return _event({"id": key[0], **values})

    def _who(self, model: str, revision: int) -> str:
        query = sa.select(_events.c.actor).where(_events.c.model == model, _events.c.revision == revision)
        with _Readable(self._url), self._engine.connect() as connection:
            return connection.scalar(query) or "someone else"

    def events(self, model: str = "", *, limit: int | None = None, after: int = 0) -> list[Event]:
        """Events in order; of one model when named; the latest `limit` of those with an id above `after`."""
        query = sa.select(_events).where(_events.c.id > after).order_by(_events.c.id.desc())
        if model:
            query = query.where(_events.c.model == model)
        if limit is not None:
            query = query.limit(limit)
        return self._read(query)[::-1]

    def event(self, event_id: int) -> Event:
        """The event with this id, else `NotFound`."""
        found = self._read(sa.select(_events).where(_events.c.id == event_id))
        if not found:
            raise NotFound(f"the ledger has no entry {event_id}; %timeline lists them")
        return found[0]

    def revision(self, model: str) -> int:
        """The latest revision of `model`; 0 when it has no event."""
        return self._scalar(sa.select(sa.func.max(_events.c.revision)).where(_events.c.model == model))

    def last_id(self) -> int:
        """The id of the latest event; 0 when there is none. Cheap: one look at the primary key."""
        return self._scalar(sa.select(sa.func.max(_events.c.id)))

    def routes(self) -> dict[str, Route]:
        """The route of every model after its latest route event; undeployed models have ``live`` none."""
        latest = sa.select(sa.func.max(_events.c.id)).where(_events.c.kind.in_(ROUTE_KINDS)).group_by(_events.c.model)
        events = self._read(sa.select(_events).where(_events.c.id.in_(latest)).order_by(_events.c.model))
        return {event.model: msgspec.convert(event.payload["route"], type=Route) for event in events}

    def route(self, model: str) -> Route:
        """The route of `model` with the ledger's latest revision, which the next `append` must state."""
        query = sa.select(_events).where(_events.c.model == model, _events.c.kind.in_(ROUTE_KINDS))
        events = self._read(query.order_by(_events.c.id.desc()).limit(1))
        route = msgspec.convert(events[0].payload["route"], type=Route) if events else Route(model=model, revision=0)
        return msgspec.structs.replace(route, revision=self.revision(model))

    def rollout(self, model: str) -> RolloutState | None:
        """Where the latest rollout of `model` stands; whether the route still follows it is for the caller to ask."""
        query = sa.select(_events).where(_events.c.model == model, _ABOUT_A_ROLLOUT).order_by(_events.c.id.desc()).limit(1)
        return next((_rollout(event) for event in self._read(query)), None)

    def rollouts(self) -> dict[str, RolloutState]:
        """Where the latest rollout of every model stands."""
        latest = sa.select(sa.func.max(_events.c.id)).where(_ABOUT_A_ROLLOUT).group_by(_events.c.model)
        return {event.model: _rollout(event) for event in self._read(sa.select(_events).where(_events.c.id.in_(latest)))}

    def keep_evidence(self, model: str, rollout: int, payload: bytes) -> None:
        """Keep what `rollout` rests on now, in place of what was kept before."""
        row = _evidence.insert().values(model=model, rollout=rollout, payload=payload.decode())
        with _Readable(self._url), self._engine.begin() as connection:
            connection.execute(_evidence.delete().where(_evidence.c.model == model))
            connection.execute(row)

    def evidence(self, model: str, rollout: int) -> bytes | None:
        """What was kept last for this rollout."""
        query = sa.select(_evidence.c.payload).where(_evidence.c.model == model, _evidence.c.rollout == rollout)
        with _Readable(self._url), self._engine.connect() as connection:
            found = connection.scalar(query)
        return None if found is None else str(found).encode()

    def close(self) -> None:
        """Close every connection; the ledger may be used again."""
        self._engine.dispose()

    def _read(self, query: sa.Select[Any]) -> list[Event]:
        with _Readable(self._url), self._engine.connect() as connection:
            rows: Sequence[Any] = connection.execute(query).mappings().all()
        return [_event(dict(row)) for row in rows]

    def _scalar(self, query: sa.Select[Any]) -> int:
        with _Readable(self._url), self._engine.connect() as connection:
            return int(connection.scalar(query) or 0)


_ABOUT_A_ROLLOUT = _events.c.payload.contains('"rollout":{', autoescape=True)


def _rollout(event: Event) -> RolloutState:
    return msgspec.convert(event.payload["rollout"], type=RolloutState)


class _Readable:
    """Turns an operational error of the database into one line with the next step."""

    def __init__(self, url: URL) -> None:
        self._where = url.database if _is_sqlite(url) else url.render_as_string(hide_password=True)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sa.exc.OperationalError | sa.exc.DatabaseError) and not isinstance(error, sa.exc.IntegrityError):
            reason = first_line(error.orig or error)
            raise Unavailable(f"the ledger {self._where} cannot be used ({reason}); run `prodml doctor`") from error


def _event(row: dict[str, Any]) -> Event:
    inverse = row["inverse"]
    return Event(
        id=row["id"],
        at=datetime.fromisoformat(row["at"]),
        actor=row["actor"],
        kind=row["kind"],
        model=row["model"],
        revision=row["revision"],
        payload=msgspec.json.decode(row["payload"]),
        inverse=None if inverse is None else msgspec.json.decode(inverse),
        cause=row["cause"],
    )


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _connect_args(url: URL) -> dict[str, Any]:
    return {"timeout": _BUSY_SECONDS, "check_same_thread": False} if _is_sqlite(url) else {}


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # An acknowledged decision must survive a power cut: FULL costs 0.5 ms an event and events are rare.
    cursor = connection.cursor()
    _switch_to_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _switch_to_wal(cursor: Any) -> None:
    # The switch of a new file ignores the busy timeout, so processes that open it at once have to try again themselves.
    for _ in range(_BUSY_SECONDS * 100):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            time.sleep(0.01)
        else:
            return
    raise sqlite3.OperationalError("database is locked")
