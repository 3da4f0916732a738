"""Upkeep changes where rows lie and nothing else: none is lost, doubled or counted anew, and appends go on beside it."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from deltalake import DeltaTable, write_deltalake

from prodml_magics.storage.drain import Drainer
from prodml_magics.storage.lake import PROPERTIES, Lake, LakeRows
from prodml_magics.storage.spool import SpoolWriter, segments
from prodml_magics.storage.tables import blocks_table
from prodml_magics.storage.upkeep import FEW_FILES, Upkeep

from .conftest import CONTRACT, block

START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
DAY = 86_400.0


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def append(lake: Lake, index: int, *, day: int = 0, writer: str = "w") -> int:
    one = block(index, rows=1, received_at=[START + day * DAY + index])
    return lake.append("cancer", [LakeRows(writer, blocks_table([one], writer, CONTRACT), index + 1)])


def identities(lake: Lake) -> list[tuple[str, int]]:
    return sorted(lake.rows("cancer", statuses=None).select("writer", "sequence").rows())


def files(lake: Lake) -> list[Path]:
    return sorted(Path(lake.requests("cancer")).rglob("*.parquet"))


def test_small_files_are_put_together_and_rows_stay_as_they_were(lake: Lake) -> None:
    for index in range(FEW_FILES + 1):
        append(lake, index)
    for index in range(FEW_FILES + 1, FEW_FILES + 4):
        append(lake, index, day=1)
    before = lake.rows("cancer")
    upkeep, path = Upkeep(lake), lake.requests("cancer")
    assert upkeep.compact(path) == FEW_FILES + 1, "the second day has few"
    assert len(DeltaTable(path).file_uris()) == 1 + 3
    assert lake.rows("cancer").equals(before)
    assert upkeep.compact(path) == 0
    assert lake.drained("cancer", "w") == FEW_FILES + 4
    assert append(lake, FEW_FILES + 3) == 0, "what the lake holds already is known after a compaction too"


def test_what_was_replaced_goes_and_the_log_stays_short(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prodml_magics.storage.upkeep._REPLACED_HOURS", 0)
    for index in range(FEW_FILES + 1):
        append(lake, index)
    upkeep, path = Upkeep(lake), lake.requests("cancer")
    assert DeltaTable(path).metadata().configuration.items() >= PROPERTIES.items()
    upkeep.compact(path)
    assert upkeep.sweep(path) == FEW_FILES + 1
    assert len([each for each in files(lake) if "_delta_log" not in each.parts]) == 1
    assert identities(lake) == [("w", index) for index in range(FEW_FILES + 1)]
    assert lake.drained("cancer", "w") == FEW_FILES + 1, "the checkpoint holds what each writer has"
    assert append(lake, FEW_FILES + 1) == 1


def test_nothing_that_was_replaced_lately_goes(lake: Lake) -> None:
    for index in range(FEW_FILES + 1):
        append(lake, index)
    upkeep, path = Upkeep(lake), lake.requests("cancer")
    reader = DeltaTable(path)
    upkeep.compact(path)
    assert upkeep.sweep(path) == 0
    assert reader.to_pyarrow_table().num_rows == FEW_FILES + 1, "whoever reads the table as it was can go on"


def test_a_file_that_is_not_committed_yet_is_never_removed(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prodml_magics.storage.upkeep._REPLACED_HOURS", 0)
    append(lake, 0)
    stray = files(lake)[0].with_name("part-of-a-commit-to-come.parquet")
    stray.write_bytes(b"rows")
    Upkeep(lake).sweep(lake.requests("cancer"))
    assert stray.exists(), "a clock that jumped would make it look old"


def test_whole_days_are_forgotten(lake: Lake) -> None:
    for index, day in enumerate((0, 0, 1, 2)):
        append(lake, index, day=day)
    upkeep = Upkeep(lake)
    assert upkeep.forget("cancer", date(2026, 1, 1)) == 0
    assert upkeep.forget("cancer", date(2026, 1, 2)) == 2
    assert identities(lake) == [("w", 2), ("w", 3)]
    assert append(lake, 1) == 0, "deleted rows do not come back from the spool"
    assert upkeep.forget("nobody", date(2026, 1, 2)) == upkeep.compact(lake.requests("nobody")) == 0


def test_a_table_of_an_earlier_release_is_taken_over(lake: Lake) -> None:
    path = lake.requests("cancer")
    write_deltalake(path, blocks_table([block(0, rows=1)], "old", CONTRACT), partition_by=["date"])
    Upkeep(lake).sweep(path)
    assert DeltaTable(path).metadata().configuration.items() >= PROPERTIES.items()


def test_rows_arrive_once_while_compaction_runs_beside_the_drainer(
    tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prodml_magics.storage.upkeep.FEW_FILES", 4)
    writer = SpoolWriter(tmp_path / "spool", segment_bytes=1)
    drainer = Drainer(tmp_path / "spool", lake, lambda _model, _version: CONTRACT)
    upkeep, done = Upkeep(lake), threading.Event()
    replaced: list[int] = []

    def tend() -> None:
        while not done.is_set():
            replaced.append(upkeep.compact(lake.requests("cancer")))

    tending = threading.Thread(target=tend)
    tending.start()
    try:
        for index in range(50):
            writer.append(block(index, rows=1))
            drainer.drain()
    finally:
        done.set()
        tending.join()
    writer.close()
    drainer.drain()
    assert identities(lake) == [(writer.writer, index) for index in range(50)]
    assert sum(replaced) > 20
    assert segments(tmp_path / "spool") == []
