"""How long a Delta commit takes as the table grows: left alone, and tended as the controller does it.

python tests/benchmarks/lake.py [--commits 10000] [--rows 100]

Tended: every commit is made, compaction after every 64 and a sweep after every 1,800, as many as come in half an hour. Left alone: the
table is brought to each size by commits that register a hundred copies of a file at once, since ten thousand real ones would take
hours; then real commits are timed. Read the ratio, on one machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[1]))

from deltalake import DeltaTable
from deltalake.transaction import AddAction

from prodml_magics.storage.lake import Lake, LakeRows
from prodml_magics.storage.upkeep import FEW_FILES, Upkeep

SWEEP = 1_800
POINTS = (100, 300, 1_000, 3_000, 10_000)
TIMED = 20


def main() -> None:
    """Measure and print both curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=100)
    arguments = parser.parse_args()
    points = [point for point in POINTS if point <= arguments.commits]
    alone, tended = _alone(points, arguments.rows), _tended(points, arguments.rows)
    print(f"{'commits':>8} {'left alone ms':>14} {'tended ms':>10} {'ratio':>6} {'files':>6} {'log files':>10} {'upkeep ms':>10}")
    for point in points:
        took, files, logs, upkeep = tended[point]
        print(f"{point:8} {alone[point]:14.1f} {took:10.1f} {alone[point] / took:6.1f} {files:6} {logs:10} {upkeep:10.1f}")
    print("tended, ms is the median of the last 100 commits; upkeep ms is all compaction and sweeping so far, per commit")


def _rows(first: int, rows: int) -> LakeRows:
    values = np.random.default_rng(first).random((30, rows))
    inputs = pa.StructArray.from_arrays([pa.array(column) for column in values], names=[f"column {i}" for i in range(30)])
    table = pa.table(
        {
            "date": ["2026-01-01"] * rows,
            "writer": ["w"] * rows,
            "sequence": np.arange(first, first + rows),
            "inputs": inputs,
        }
    )
    return LakeRows("w", table, first + rows)


def _append(lake: Lake, first: int, rows: int) -> float:
    batch = _rows(first, rows)
    started = time.perf_counter()
    assert lake.append("model", [batch]) == rows
    return (time.perf_counter() - started) * 1e3


def _tended(points: list[int], rows: int) -> dict[int, tuple[float, int, int, float]]:
    """Per number of commits: milliseconds of a commit, live files, files of the log, milliseconds of upkeep per commit."""
    found: dict[int, tuple[float, int, int, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(folder)
        upkeep, path = Upkeep(lake), lake.requests("model")
        taken: list[float] = []
        spent = 0.0
        for commit in range(points[-1]):
            taken.append(_append(lake, commit * rows, rows))
            started = time.perf_counter()
            if commit % (FEW_FILES + 1) == FEW_FILES:
                upkeep.compact(path)
            if commit % SWEEP == SWEEP - 1:
                upkeep.sweep(path)
            spent += (time.perf_counter() - started) * 1e3
            if commit + 1 in points:
                logs = len(list((Path(path) / "_delta_log").iterdir()))
                files = len(DeltaTable(path).file_uris())
                found[commit + 1] = (float(np.median(taken[-100:])), files, logs, spent / (commit + 1))
        assert lake.count("model") == points[-1] * rows, "no row was lost or doubled"
    return found


def _alone(points: list[int], rows: int) -> dict[int, float]:
    """Per number of files: milliseconds of a commit."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(folder)
        _append(lake, 0, rows)
        path = Path(lake.requests("model"))
        count, sequence = 1, rows
        for point in points:
            while count < point:
                count += _copies(path, count, min(100, point - count))
            taken = []
            for _ in range(TIMED):
                taken.append(_append(lake, sequence, rows))
                sequence += rows
            count += TIMED
            found[point] = float(np.median(taken))
    return found


def _copies(path: Path, number: int, count: int) -> int:
    """Register so many copies of a file of the table, as one commit."""
    table = DeltaTable(path)
    source = next(path.rglob("part-*.parquet"))
    actions: Any = []
    for index in range(count):
        copy = source.with_name(f"copy-{number + index}.parquet")
        os.link(source, copy)
        size, moment = copy.stat().st_size, int(time.time() * 1e3)
        actions.append(AddAction(str(copy.relative_to(path)), size, {"date": "2026-01-01"}, moment, True, '{"numRecords":100}'))
    table.create_write_transaction(actions, mode="append", schema=table.schema(), partition_by=["date"])
    return count


if __name__ == "__main__":
    main()
