"""Day and night are no drift when the same hours of the weeks before are compared with, from rows and from sketches."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from homes import go_live

from prodml_magics.actions.drift import drift
from prodml_magics.actions.earlier import same_hours
from prodml_magics.actions.sketching import Sketching
from prodml_magics.actions.workspace import Workspace
from prodml_magics.clock import ManualClock
from prodml_magics.errors import NotFound, ProdmlError, UsageError
from prodml_magics.stats.drift import from_arrow
from prodml_magics.stats.drift.reference import NumericColumn
from prodml_magics.storage.lake import LakeRows
from prodml_magics.wire.requests import Drift

NOW = datetime(2026, 3, 10, 14, 0, tzinfo=UTC)
PER_HOUR = 240
WEEKS = 3


@pytest.fixture
def home(workspace: Workspace) -> Iterator[Workspace]:
    """cancer@1 live. Two o'clock is a busy hour, in which the first column is larger by a half, and one o'clock is not."""
    go_live(workspace, 1)
    with Workspace(workspace.home, actor="controller", clock=ManualClock(NOW), environment={}) as found:
        yield found


def _serve(home: Workspace, *, moved: bool) -> str:
    """The hours from noon to two o'clock of this week and three weeks before; `moved`: today the second column has moved."""
    profile = from_arrow((home.folder("cancer", 1) / "profile.arrow").read_bytes())
    numeric = {name: column for name, column in profile.columns.items() if isinstance(column, NumericColumn)}
    first, second = list(numeric)[:2]
    rng = np.random.default_rng(0)
    count = (WEEKS + 1) * 2 * PER_HOUR
    columns = {name: rng.choice(column.values, count).astype(float) for name, column in numeric.items()}
    place = np.arange(count)
    hour, week = place // PER_HOUR % 2, WEEKS - place // (2 * PER_HOUR)
    columns[first][hour == 1] *= 1.5
    if moved:
        columns[second][(hour == 1) & (week == 0)] *= 10
    start = NOW - timedelta(hours=2)
    received = [
        start - timedelta(weeks=int(week[i])) + timedelta(hours=int(hour[i]), seconds=3_600 * (i % PER_HOUR + 0.5) / PER_HOUR)
        for i in range(count)
    ]
    table = pa.table(
        {
            "date": [at.date().isoformat() for at in received],
            "writer": ["w"] * count,
            "sequence": np.arange(count),
            "received_at": pa.array(received, pa.timestamp("us", tz="UTC")),
            "arm": ["live"] * count,
            "version": pa.array([1] * count, pa.int32()),
            "status": pa.array([200] * count, pa.int32()),
            "inputs": pa.StructArray.from_arrays([pa.array(values) for values in columns.values()], names=list(columns)),
            "outputs": pa.StructArray.from_arrays([pa.array(rng.choice(["0", "1"], count))], names=["label"]),
        }
    )
    sketching = Sketching(home)
    sketching.keep()
    rows = LakeRows("w", table, count)
    home.lake.append("cancer", [rows])
    sketching.took("cancer", rows)
    sketching.keep()
    assert sketching.problems == {}
    return first


@pytest.mark.parametrize("source", ["rows", "sketches"])
def test_a_busy_hour_is_no_drift_beside_the_same_hours_and_is_beside_others(home: Workspace, source: str) -> None:
    first = _serve(home, moved=False)
    for against in ("reference", "previous"):
        other = drift(home, Drift(model="cancer", window="1h", source=source, against=against))  # type: ignore[arg-type]
        assert first in other.record.drifted, against
        assert "same hours" not in other.record.against
    for against, weeks in (("reference", WEEKS), ("previous", 1), ("2w", 2), ("2026-02-15/2026-02-25", 2)):
        request = Drift(model="cancer", window="1h", source=source, against=against, same_hour=True)  # type: ignore[arg-type]
        found = drift(home, request)
        assert first not in found.record.drifted, against
        told = f"{weeks * PER_HOUR} rows of the same hours of {weeks} week{'s' if weeks > 1 else ''}, "
        assert found.record.against.startswith(told), found.record.against
        assert f"against: {told}" in str(found)
        assert found.record.source == source


def test_what_moved_besides_is_seen_and_rows_may_be_counted_instead(home: Workspace) -> None:
    first = _serve(home, moved=True)
    for request in (
        Drift(model="cancer", window="1h", same_hour=True),
        Drift(model="cancer", last=PER_HOUR, same_hour=True),
        Drift(model="cancer", since="2026-03-10T13:00", until="2026-03-10T14:00", same_hour=True, by=first),
    ):
        found = drift(home, request)
        assert len(found.record.drifted) == 1, request
        assert first not in found.record.drifted
        assert "looks like a unit change ×10" in found.record.summary


@pytest.mark.parametrize(
    ("request_", "kind", "said"),
    [
        (Drift(model="cancer", same_hour=True), UsageError, "give --window, --last or --since"),
        (Drift(model="cancer", window="1h", same_hour=True), NotFound, "no rows in this window"),
        (
            Drift(model="cancer", window="1h", same_hour=True, sequential=True),
            UsageError,
            "--same-hour has no meaning with --seq",
        ),
        (Drift(model={"a": [1.0]}, current={"a": [1.0]}, same_hour=True), UsageError, "--same-hour chooses what a served model"),
    ],
    ids=["no window", "no traffic", "for ever", "frames"],
)
def test_hours_that_are_not_known_are_refused(home: Workspace, request_: Drift, kind: type[ProdmlError], said: str) -> None:
    with pytest.raises(kind, match=said):
        drift(home, request_)


def test_weeks_that_cannot_be_compared_with_are_named(home: Workspace) -> None:
    _serve(home, moved=False)
    with pytest.raises(UsageError, match="--against cancer@1 has none"):
        drift(home, Drift(model="cancer", window="1h", same_hour=True, against="cancer@1"))
    with pytest.raises(UsageError, match=r"--against 3d does not reach back .* give 4w"):
        drift(home, Drift(model="cancer", window="1h", same_hour=True, against="3d"))
    with pytest.raises(NotFound, match="no rows in the same hours of the weeks before"):
        drift(home, Drift(model="cancer", window="1h", same_hour=True, against="2020-01-01/2020-02-01"))


def test_hours_lie_whole_weeks_back_and_none_is_counted_twice() -> None:
    day = timedelta(days=1)
    long = same_hours(NOW - 10 * day, NOW, (NOW - 60 * day, NOW - 10 * day))
    assert [(NOW - first) / day for first, _ in long] == [60.0, 52.0, 38.0, 24.0]
    assert all(one[1] <= other[0] for one, other in pairwise(long))
    cut = same_hours(NOW - day, NOW, (NOW - 7.5 * day, NOW - day))
    assert cut == ((NOW - 7.5 * day, NOW - 7 * day),)
    assert same_hours(NOW - day, NOW, (NOW - 5 * day, NOW - day)) == ()
