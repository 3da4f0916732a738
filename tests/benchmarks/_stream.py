"""The larger-than-memory path against polars' own scan of the same file; python tests/benchmarks/drift.py stream runs it.

Each side runs in a process of its own, whose largest resident memory is printed beside its time; the sides take turns, and the best
of three counts. The same rows are read from a file whose numbers lie in it as they are, from one as polars writes it (zstd), and from one
as pyarrow and pandas do (dictionaries, snappy).
"""

from __future__ import annotations

import os
import re
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


def _rewrite(path: Path, packed: Path) -> None:
    """As polars writes it when nothing is asked for."""
    pl.scan_parquet(path).sink_parquet(packed)


def _rewrite_coded(path: Path, coded: Path) -> None:
    """As pyarrow, and pandas by it, writes it when nothing is asked for."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    with pq.ParquetWriter(coded, file.schema_arrow) as writer:
        for group in range(file.num_row_groups):
            writer.write_table(file.read_row_group(group))


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
        reference, plain, packed, coded = (Path(folder) / f"{name}.parquet" for name in ("before", "plain", "packed", "coded"))
        _write(reference, 200_000, columns)
        _write(plain, rows, columns)
        _compare("uncompressed", reference, plain, rows, columns)
        _rewrite(plain, packed)
        _rewrite_coded(plain, coded)
        plain.unlink()
        _compare("as polars writes it, zstd", reference, packed, rows, columns)
        packed.unlink()
        _compare("as pyarrow writes it, dictionaries and snappy", reference, coded, rows, columns)


def _compare(what: str, reference: Path, path: Path, rows: int, columns: int) -> None:
    size, cores = path.stat().st_size / 2**30, os.cpu_count() or 1
    print(f"{rows:,} rows × {columns} columns, float32, {what}, {size:.2f} GiB; {cores} cores; polars {pl.__version__}")
    turns = [(_timed("scan", str(path)), _timed("ours", str(reference), str(path), "2")) for _ in range(3)]
    (scan, of_scan), (ours, of_ours) = (min(side) for side in zip(*turns, strict=True))
    print(f"polars scan and sum       {scan:7.2f} s   {of_scan:5.2f} GiB")
    print(f"sketches and verdicts     {ours:7.2f} s   {of_ours:5.2f} GiB   {scan / ours:.0%} of the scan's speed")
    print(f"per value and core        {ours * cores / rows / columns * 1e9:7.2f} ns", flush=True)


def _resident() -> float:
    """Largest resident memory in GiB of this process, and as much as that of its largest child for each that it may have.

    Of this process since it is itself: `getrusage` would count what its parent held when it was forked.
    """
    own = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])  # type: ignore[index]
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return (own + children * (min(8, os.cpu_count() or 1) - 1)) / 2**20


if __name__ == "__main__":
    if sys.argv[1:2] == ["scan"]:
        print(_scan(Path(sys.argv[2])), _resident())
    elif sys.argv[1:2] == ["ours"]:
        print(_ours(Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])), _resident())
    else:
        main(*(int(value) for value in sys.argv[1:]))
