"""Sketches of served rows by stretch of time, in ``buckets.db`` of the home (SQLite), exactly once with respect to the lake.

    meta     format                                    BUCKETS_FORMAT; a later one is refused, every older one must go on being read
    buckets  model, grid, arm, width, start → rows, sketches
             rows received in [start, start + width) seconds since 1970, sketched on one grid; grid '' counts the rows alone
    series   model, grid, arm, start → summary         one hour, for ever: what is left of it once its hour bucket is gone
    marks    model, writer → until                     rows of a writer below this number are counted
    edges    model → hours_until, days_until           rows received before these are in buckets of an hour, of a day

Counts and marks change in one transaction, so that whoever is killed in between has counted a row or has not. The sketches are
opaque here: whoever adds says how two of them become one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from prodml_magics.errors import Unavailable, Unsupported, first_line

__all__ = ["BUCKETS_FORMAT", "DAY", "FINEST", "HOUR", "Addition", "BucketStore", "Edges", "Kept", "Key"]

BUCKETS_FORMAT = 1
FINEST, HOUR, DAY = 300, 3_600, 86_400
"""Widths of buckets in seconds."""

_BUSY_SECONDS = 30.0
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (format INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS buckets (
    model TEXT NOT NULL, grid TEXT NOT NULL, arm TEXT NOT NULL, width INTEGER NOT NULL, start INTEGER NOT NULL,
    rows INTEGER NOT NULL, sketches BLOB, UNIQUE (model, grid, start, width, arm));
CREATE TABLE IF NOT EXISTS series (
    model TEXT NOT NULL, grid TEXT NOT NULL, arm TEXT NOT NULL, start INTEGER NOT NULL, summary BLOB NOT NULL,
    UNIQUE (model, grid, start, arm));
CREATE TABLE IF NOT EXISTS marks (model TEXT NOT NULL, writer TEXT NOT NULL, until INTEGER NOT NULL, UNIQUE (model, writer));
CREATE TABLE IF NOT EXISTS edges (model TEXT NOT NULL UNIQUE, hours_until INTEGER NOT NULL, days_until INTEGER NOT NULL);
"""


class Key(NamedTuple):
    """Where a bucket lies; `start` in seconds since 1970, UTC, a multiple of `width`."""

    grid: str
    arm: str
    width: int
    start: int


class Addition(NamedTuple):
    """Rows to add to a bucket, and their sketches; none for grid ''."""

    rows: int
    sketches: bytes | None


class Kept(NamedTuple):
    """A bucket as it was read."""

    key: Key
    rows: int
    sketches: bytes | None


class Edges(NamedTuple):
    """Rows received before `days_until` are in buckets of a day, before `hours_until` in those of an hour, else in the finest."""

    hours_until: int = 0
    days_until: int = 0

    def key(self, grid: str, arm: str, second: int) -> Key:
        """The bucket of a row that was received in this second."""
        width = DAY if second < self.days_until else HOUR if second < self.hours_until else FINEST
        return Key(grid, arm, width, second // width * width)


Joined = Callable[[Sequence[bytes]], bytes]
"""Packed sketches to their sum, packed."""


class BucketStore:
    """One file of one home; written by the controller, read by whoever compares. Reading makes no file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether anything was ever counted."""
        return self.path.exists()

    def add(self, model: str, additions: Mapping[Key, Addition], marks: Mapping[str, int], joined: Joined) -> None:
        """Add to buckets and set the marks of their writers, all of it or nothing."""
        with self._writing() as database:
            for key, addition in additions.items():
                self._add(database, model, key, addition, joined)
            database.executemany(
                "INSERT INTO marks VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET until = max(until, excluded.until)",
                [(model, writer, until) for writer, until in marks.items()],
            )

    def _add(self, database: sqlite3.Connection, model: str, key: Key, addition: Addition, joined: Joined) -> None:
        where = "WHERE model = ? AND grid = ? AND arm = ? AND width = ? AND start = ?"
        found = database.execute(f"SELECT rows, sketches FROM buckets {where}", (model, *key)).fetchone()
        if found is None:
            database.execute("INSERT INTO buckets VALUES (?, ?, ?, ?, ?, ?, ?)", (model, *key, *addition))
            return
        rows, sketches = found
        if addition.sketches is not None:
            sketches = joined([sketches, addition.sketches]) if sketches is not None else addition.sketches
        database.execute(f"UPDATE buckets SET rows = ?, sketches = ? {where}", (rows + addition.rows, sketches, model, *key))

    def roll_up(self, model: str, edges: Edges, joined: Joined, summarised: Callable[[str, bytes], bytes]) -> None:
        """Move buckets from before `edges` into wider ones; of hours that become days a summary is kept.

        `summarised` takes a grid and the packed sketches of an hour.
        """
        with self._writing() as database:
            self._widen(database, model, FINEST, HOUR, edges.hours_until, joined)
            old = "model = ? AND width = ? AND start < ? AND grid != ''"
            hours = database.execute(
                f"SELECT grid, arm, start, sketches FROM buckets WHERE {old}", (model, HOUR, edges.days_until)
            )
            for grid, arm, start, sketches in hours.fetchall():
                database.execute(
                    "INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?, ?)", (model, grid, arm, start, summarised(grid, sketches))
                )
            self._widen(database, model, HOUR, DAY, edges.days_until, joined)
            database.execute(
                "INSERT INTO edges VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET "
                "hours_until = max(hours_until, excluded.hours_until), days_until = max(days_until, excluded.days_until)",
                (model, *edges),
            )

    def _widen(self, database: sqlite3.Connection, model: str, width: int, wider: int, until: int, joined: Joined) -> None:
        found = database.execute(
            "SELECT grid, arm, start / ? * ? AS began, start, rows, sketches FROM buckets "
            "WHERE model = ? AND width = ? AND start < ? ORDER BY grid, arm, start",
            (wider, wider, model, width, until),
        ).fetchall()
        groups: dict[Key, list[tuple[int, bytes | None]]] = {}
        for grid, arm, began, _, rows, sketches in found:
            groups.setdefault(Key(grid, arm, wider, began), []).append((rows, sketches))
        for key, parts in groups.items():
            packed = [sketches for _, sketches in parts if sketches is not None]
            self._add(database, model, key, Addition(sum(rows for rows, _ in parts), joined(packed) if packed else None), joined)
        database.execute("DELETE FROM buckets WHERE model = ? AND width = ? AND start < ?", (model, width, until))

    def marks(self, model: str) -> dict[str, int]:
        """By writer, up to which of its rows the buckets of `model` count."""
        return dict(self._read("SELECT writer, until FROM marks WHERE model = ?", (model,)))

    def edges(self, model: str) -> Edges:
        """From when on buckets are narrower."""
        found = self._read("SELECT hours_until, days_until FROM edges WHERE model = ?", (model,))
        return Edges(*found[0]) if found else Edges()

    def read(self, model: str, grid: str, arms: Sequence[str], since: float | None, until: float | None) -> list[Kept]:
        """Buckets of a grid that reach into [since, until) seconds, oldest first."""
        conditions, values = _conditions(model, grid, arms, since, until)
        rows = self._read(
            f"SELECT grid, arm, width, start, rows, sketches FROM buckets WHERE {conditions} ORDER BY start, arm", values
        )
        return [Kept(Key(*row[:4]), *row[4:]) for row in rows]

    def sizes(self, model: str, grid: str, arms: Sequence[str], since: float | None, until: float | None) -> list[Kept]:
        """The same without the sketches."""
        conditions, values = _conditions(model, grid, arms, since, until)
        rows = self._read(f"SELECT grid, arm, width, start, rows FROM buckets WHERE {conditions} ORDER BY start, arm", values)
        return [Kept(Key(*row[:4]), row[4], None) for row in rows]

    def first_grid(self, model: str) -> str | None:
        """The grid with the longest past, '' aside; none where nothing is kept."""
        parts = [f"SELECT grid, start FROM {table} WHERE model = ? AND grid != ''" for table in ("series", "buckets")]
        found = self._read(f"{' UNION ALL '.join(parts)} ORDER BY start LIMIT 1", (model, model))
        return str(found[0][0]) if found else None

    def series(self, model: str, grid: str, arms: Sequence[str]) -> list[tuple[int, bytes]]:
        """Start and summary of every hour whose bucket is gone, oldest first; one entry per arm."""
        conditions, values = _conditions(model, grid, arms, None, None)
        return self._read(f"SELECT start, summary FROM series WHERE {conditions} ORDER BY start, arm", values)

    def _read(self, query: str, values: Sequence[object]) -> list[tuple]:
        if not self.exists():
            return []
        with self._connected() as database:
            return database.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            database.executescript(_TABLES)
            database.execute("BEGIN IMMEDIATE")
            if not database.execute("SELECT format FROM meta").fetchone():
                database.execute("INSERT INTO meta VALUES (?)", (BUCKETS_FORMAT,))
            yield database
            database.execute("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            database = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            try:
                self._check_format(database)
                yield database
            finally:
                database.close()  # what was not committed is rolled back
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(
                f"the sketches in {self.path} cannot be used ({first_line(error)}); delete the file, and they are made anew from the lake"
            ) from error

    def _check_format(self, database: sqlite3.Connection) -> None:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            return
        found = database.execute("SELECT format FROM meta").fetchone()
        if found and found[0] > BUCKETS_FORMAT:
            raise Unsupported(
                f"{self.path} has format {found[0]}, later than {BUCKETS_FORMAT}, the last known here; upgrade prodml-magics"
            )


def _conditions(
    model: str, grid: str, arms: Sequence[str], since: float | None, until: float | None
) -> tuple[str, tuple[object, ...]]:
    parts, values = [f"model = ? AND grid = ? AND arm IN ({', '.join('?' * len(arms))})"], [model, grid, *arms]
    if since is not None:
        parts.append("start + width > ?")
        values.append(since)  # type: ignore[arg-type]
    if until is not None:
        parts.append("start < ?")
        values.append(until)  # type: ignore[arg-type]
    return " AND ".join(parts), tuple(values)
