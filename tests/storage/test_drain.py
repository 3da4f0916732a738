"""From the spool into the lake exactly once, whatever is killed when."""

from __future__ import annotations

import errno
import gc
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from prodml_magics.contract.schema import Contract
from prodml_magics.errors import NotFound, Unavailable
from prodml_magics.storage.drain import Drainer
from prodml_magics.storage.lake import Lake
from prodml_magics.storage.spool import Segment, SpoolWriter, segments

from .conftest import CONTRACT, block


def contract_of(_model: str, _version: int) -> Contract:
    return CONTRACT


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def identities(lake: Lake, model: str = "cancer") -> list[tuple[str, int]]:
    frame = lake.rows(model, statuses=None)
    return sorted(frame.select("writer", "sequence").rows()) if frame.height else []


def test_rows_arrive_with_their_columns(spool: Path, lake: Lake) -> None:
    writer = SpoolWriter(spool)
    writer.append(block(0))
    writer.append(block(3, arm="shadow", version=2, mirrors=[0, 1, 2]))
    assert Drainer(spool, lake, contract_of).drain() == 6
    frame = lake.rows("cancer")
    assert frame["sequence"].to_list() == list(range(6))
    assert frame["row"].to_list() == [0, 1, 2] * 2
    assert frame["mirrors"].to_list() == [None, None, None, 0, 1, 2]
    assert frame["received_at"][0] == datetime(2026, 1, 1, tzinfo=UTC)
    inputs = frame["inputs"].struct.unnest()
    assert inputs.schema == {"mean radius": pl.Float64, "city": pl.String}
    assert inputs.rows()[:3] == [(0.0, "Oslo"), (1.0, "Rome"), (2.0, "Oslo")]
    outputs = frame["outputs"].struct.unnest()
    assert outputs.columns == ["label", "probability_0", "probability_1"]
    assert outputs["label"].to_list()[:3] == ["0", "1", "0"]


@pytest.mark.parametrize("collects", [True, False])
def test_the_garbage_collector_rests_while_blocks_are_read_and_is_left_as_it_was(
    spool: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch, collects: bool
) -> None:
    SpoolWriter(spool).append(block(0))
    seen: list[bool] = []

    def fails(*_: object) -> Contract:
        seen.append(gc.isenabled())
        raise RuntimeError("while it reads")

    monkeypatch.setattr(Drainer, "_move", lambda *_: seen.append(gc.isenabled()) or 0)
    before = gc.isenabled()
    (gc.enable if collects else gc.disable)()
    try:
        Drainer(spool, lake, contract_of).drain()
        with pytest.raises(RuntimeError):
            Drainer(spool, lake, fails).drain()
        assert (seen, gc.isenabled()) == ([collects, False], collects)
    finally:
        (gc.enable if before else gc.disable)()


def test_columns_of_the_lake_are_compressed(spool: Path, lake: Lake) -> None:
    writer = SpoolWriter(spool)
    writer.append(block(writer.sequence))
    Drainer(spool, lake, contract_of).drain()
    (path,) = Path(lake.requests("cancer")).rglob("*.parquet")
    group = pq.read_metadata(path).row_group(0)
    assert {group.column(index).compression for index in range(group.num_columns)} == {"SNAPPY"}


def test_draining_again_adds_nothing_and_a_restart_adds_nothing(spool: Path, lake: Lake) -> None:
    writer = SpoolWriter(spool)
    drainer = Drainer(spool, lake, contract_of)
    for index in range(5):
        writer.append(block(3 * index))
        drainer.drain()
        assert drainer.drain() == 0
        assert Drainer(spool, lake, contract_of).drain() == 0
    assert identities(lake) == [(writer.writer, index) for index in range(15)]


def test_a_crash_between_two_commits_neither_loses_nor_doubles(spool: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = SpoolWriter(spool)
    for index in range(10):
        writer.append(block(3 * index, model="cancer" if index % 2 else "digits"))
    writer.close()
    honest, commits = lake.append, []

    def dies_at_the_second(model: str, batches: Any) -> int:
        if commits:
            raise Unavailable("killed")
        commits.append(model)
        return honest(model, batches)

    monkeypatch.setattr(lake, "append", dies_at_the_second)
    with pytest.raises(Unavailable):
        Drainer(spool, lake, contract_of).drain()
    monkeypatch.undo()
    assert segments(spool) != []
    Drainer(spool, lake, contract_of).drain()
    found = sorted(identities(lake) + identities(lake, "digits"))
    assert found == [(writer.writer, index) for index in range(30)]
    assert segments(spool) == []


def test_segments_of_the_dead_go_and_those_of_the_living_stay(spool: Path, lake: Lake) -> None:
    dead, living = SpoolWriter(spool), SpoolWriter(spool)
    dead.append(block(0))
    living.append(block(0))
    dead.close()
    Drainer(spool, lake, contract_of).drain()
    assert [segment.writer for segment in segments(spool)] == [living.writer]
    living.append(block(3))
    Drainer(spool, lake, contract_of).drain()
    assert identities(lake) == sorted(
        [(dead.writer, index) for index in range(3)] + [(living.writer, index) for index in range(6)]
    )


def test_what_cannot_be_removed_holds_nobody_up_and_goes_later(spool: Path, lake: Lake) -> None:
    dead = [SpoolWriter(spool) for _ in range(3)]
    for writer in dead:
        writer.append(block(0))
        writer.close()
    drainer = Drainer(spool, lake, contract_of)
    with pytest.MonkeyPatch.context() as read_only:
        read_only.setattr(Segment, "remove", _refused)
        assert drainer.drain() == 9
        assert drainer.drain() == 0
        assert Drainer(spool, lake, contract_of).drain() == 0, "one that knows nothing of it adds nothing either"
    assert len(segments(spool)) == 3
    assert drainer.drain() == 0
    assert segments(spool) == []
    assert len(identities(lake)) == 9


def _refused(_segment: Segment, _read: int) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_a_model_without_contract_waits_and_holds_nobody_up(spool: Path, lake: Lake) -> None:
    def known_but_one(model: str, version: int) -> Contract:
        if model == "lost":
            raise NotFound("lost@1 is not in MLflow; register it again")
        return CONTRACT

    writer = SpoolWriter(spool)
    writer.append(block(0, model="lost"))
    writer.append(block(3))
    writer.close()
    drainer = Drainer(spool, lake, known_but_one)
    assert drainer.drain() == 3
    assert drainer.problems == {"lost": "lost@1 is not in MLflow; register it again"}
    assert len(segments(spool)) == 1
    later = Drainer(spool, lake, contract_of)
    assert later.drain() == 3
    assert (later.problems, segments(spool)) == ({}, [])
    assert len(identities(lake)) == 3


def test_behind_a_row_that_waits_later_ones_of_its_model_and_writer_wait_too(spool: Path, lake: Lake) -> None:
    def second_only(_model: str, version: int) -> Contract:
        if version == 1:
            raise NotFound("cancer@1 is not in MLflow; register it again")
        return CONTRACT

    first, second = SpoolWriter(spool, segment_bytes=1), SpoolWriter(spool)
    for index, version in enumerate((2, 1, 2)):
        first.append(block(3 * index, version=version))
    second.append(block(0, version=2))
    for writer in (first, second):
        writer.close()
    drainer = Drainer(spool, lake, second_only)
    assert drainer.drain() == 6
    assert identities(lake) == sorted([(writer.writer, index) for writer in (first, second) for index in range(3)])
    assert Drainer(spool, lake, contract_of).drain() == 6
    assert identities(lake) == sorted(
        [*((first.writer, index) for index in range(9)), *((second.writer, index) for index in range(3))]
    )
    assert segments(spool) == []


def test_failed_rows_have_no_outputs_and_later_versions_may_add_columns(spool: Path, lake: Lake) -> None:
    writer = SpoolWriter(spool)
    writer.append(block(0, status=[500], outputs=None))
    assert Drainer(spool, lake, contract_of).drain() == 3
    assert lake.rows("cancer").height == 0
    writer.append(block(3))
    wider = Contract(**{field: getattr(CONTRACT, field) for field in CONTRACT.__struct_fields__} | {"classes": ("a", "b")})
    Drainer(spool, lake, lambda _model, _version: wider).drain()
    frame = lake.rows("cancer", statuses=None)
    assert frame["outputs"].struct.unnest().columns == ["label", "probability_a", "probability_b"]
    assert frame.filter(pl.col("status") == 500)["outputs"].struct.unnest()["label"].null_count() == 3


def test_windows_choose_by_time_arm_and_number(spool: Path, lake: Lake) -> None:
    writer = SpoolWriter(spool)
    for index in range(10):
        writer.append(block(index, rows=1, arm="shadow" if index % 2 else "live"))
    Drainer(spool, lake, contract_of).drain()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert lake.rows("cancer", since=start.replace(second=3), until=start.replace(second=6))["sequence"].to_list() == [3, 4, 5]
    assert lake.rows("cancer", arms=["live"], last=2)["sequence"].to_list() == [6, 8]
    assert lake.rows("nobody").is_empty()
    assert lake.count("cancer") == 10


def test_rows_of_every_arm_that_a_worker_writes_reach_the_lake_with_how_they_were_allotted(spool: Path, lake: Lake) -> None:
    writer = SpoolWriter(spool)
    arms = ("live", "canary", "shadow", "direct")
    for index, arm in enumerate(arms):
        allotted = {"rollout": 7, "share": 0.25} if arm in ("live", "canary") else {}
        writer.append(block(3 * index, arm=arm, **allotted))
    writer.close()
    assert Drainer(spool, lake, contract_of).drain() == 12
    rows = lake.rows("cancer")
    assert rows["arm"].to_list() == [arm for arm in arms for _ in range(3)]
    assert rows["rollout"].to_list() == [7] * 6 + [0] * 6
    assert rows["share"].to_list() == [0.25] * 6 + [0.0] * 6
