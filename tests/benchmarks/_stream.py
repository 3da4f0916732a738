"""The larger-than-memory path against polars' own scan of the same file; python tests/benchmarks/drift.py stream runs it.

Each side runs in a process of its own, whose largest resident memory is printed beside its time.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

_PART = 500_000


def _write(path: Path, rows: int, columns: int) -> None:
    """float32 [rows, columns], uncompressed row groups of half a million rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    schema = pa.schema([pa.field(f"x{i}", pa.float32()) for i in range(columns)])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for start in range(0, rows, _PART):
            part = rng.standard_normal((columns, min(_PART, rows - start)), dtype=np.float32)
            writer.write_table(pa.table([pa.array(values) for values in part], schema=schema))


def _scan(path: Path) -> str:
    started = time.perf_counter()
    pl.scan_parquet(path).select(pl.all().sum()).collect(engine="streaming")
    return f"{time.perf_counter() - started:.2f}"


def _ours(reference: Path, path: Path, memory: float) -> str:
    from prodml_magics.actions.streamed import sampled_reference, scan, sketched
    from prodml_magics.stats.drift.detect_sketches import detect_sketches

    before, now = scan(reference), scan(path)
    assert before is not None and now is not None
    summarised = sampled_reference(before, before.frame.collect_schema().names(), 100_000, memory)
    started = time.perf_counter()
    sketches, changed = sketched(now, summarised, memory)
    detect_sketches(summarised, sketches, changed=changed)
    return f"{time.perf_counter() - started:.2f}"


def _timed(*arguments: str) -> tuple[float, float]:
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=True)
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def main(rows: int = 10_000_000, columns: int = 100) -> None:
    with tempfile.TemporaryDirectory() as folder:
        reference, path = Path(folder) / "before.parquet", Path(folder) / "now.parquet"
        _write(reference, 200_000, columns)
        _write(path, rows, columns)
        size = path.stat().st_size / 2**30
        print(f"{rows:,} rows × {columns} columns, float32, {size:.2f} GiB; {os.cpu_count()} cores; polars {pl.__version__}")
        scan, of_scan = min(_timed("scan", str(path)) for _ in range(2))
        ours, of_ours = min(_timed("ours", str(reference), str(path), "2") for _ in range(2))
        print(f"polars scan and sum       {scan:7.2f} s   {of_scan:5.2f} GiB")
        print(f"sketches and verdicts     {ours:7.2f} s   {of_ours:5.2f} GiB   {scan / ours:.0%} of the scan's speed")
        print(f"per value and core        {ours * (os.cpu_count() or 1) / rows / columns * 1e9:7.2f} ns")


if __name__ == "__main__":
    if sys.argv[1:2] == ["scan"]:
        print(_scan(Path(sys.argv[2])), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
    elif sys.argv[1:2] == ["ours"]:
        print(
            _ours(Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])),
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        )
    else:
        main(*(int(value) for value in sys.argv[1:]))
