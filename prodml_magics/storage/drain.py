"""From the spool into the lake, exactly once."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from prodml_magics.contract.schema import Contract
from prodml_magics.errors import ProdmlError
from prodml_magics.storage.blocks import Block
from prodml_magics.storage.lake import Lake, LakeRows
from prodml_magics.storage.spool import Segment, segments
from prodml_magics.storage.tables import blocks_table

__all__ = ["Drainer"]

_log = logging.getLogger(__name__)


class Drainer:
    """Moves what workers have answered into the lake; one per home, in the controller.

    It may be killed at any moment: offsets are kept in memory only, and what is read again is recognised by its sequence numbers.
    """

    def __init__(
        self,
        spool: Path,
        lake: Lake,
        contract_of: Callable[[str, int], Contract],
        took: Callable[[str, LakeRows], None] = lambda _model, _rows: None,
    ) -> None:
        self._spool = spool
        self._lake = lake
        self._contract_of = contract_of
        self._took = took
        """Told of rows that the lake holds now; some may be rows that it held before."""
        self._offsets: dict[Path, int] = {}
        self._contracts: dict[tuple[str, int], Contract] = {}
        """A version's contract never changes."""
        self._waiting: set[tuple[str, str]] = set()
        self._fresh: set[str] = set()
        """Models whose latest rows may be in the memory of the system only."""
        self._kept: set[Path] = set()
        """Segments that could not be removed yet."""
        self.problems: dict[str, str] = {}
        """Per model, why its rows wait in the spool; empty when all is well."""

    def drain(self) -> int:
        """Move everything that is in the spool at this moment; returns how many rows were new to the lake.

        A segment is deleted only when its writer cannot append to it any more and all its rows are committed. Rows of a model
        whose contract cannot be had stay where they are, are named in `problems`, and hold nobody else up.
        """
        found = segments(self._spool)
        self._offsets = {segment.path: self._offsets.get(segment.path, 0) for segment in found}
        self._kept &= self._offsets.keys()
        self.problems = {}
        self._waiting = set()
        # Segment by segment, so that a backlog of days needs no more memory than one of them.
        return sum(self._drain(segment) for segment in found)

    def _drain(self, segment: Segment) -> int:
        # Asked before reading: what is finished now can hold nothing that the reading misses.
        finished = segment.finished()
        with _uncollected():
            batches, offset, stuck = self._collect(segment)
        moved = sum(self._move(model, rows) for model, rows in batches.items())
        if stuck:
            return moved
        self._offsets[segment.path] = offset
        if finished:
            for model in sorted(self._fresh):  # a segment must not go before its rows would survive a power cut elsewhere
                self._lake.flush(model)
            self._fresh.clear()
            self._remove(segment)
        return moved

    def _remove(self, segment: Segment) -> None:
        try:
            segment.remove(self._offsets[segment.path])
        except OSError as error:  # a disk that became read-only: its rows are in the lake, and others must get there too
            if segment.path not in self._kept:
                _log.warning("%s is in the lake and cannot be removed (%s)", segment.path, error.strerror)
            self._kept.add(segment.path)
        else:
            del self._offsets[segment.path]
            self._kept.discard(segment.path)

    def _move(self, model: str, rows: LakeRows) -> int:
        moved = self._lake.append(model, [rows])
        self._fresh.add(model)
        self._took(model, rows)
        return moved

    def _collect(self, segment: Segment) -> tuple[dict[str, LakeRows], int, bool]:
        """Rows by model that lie behind the known offset, the offset behind them, and whether some have to wait."""
        groups: dict[tuple[str, int, bool, bool], list[Block]] = {}
        until: dict[str, int] = {}
        offset = self._offsets[segment.path]
        stuck = False
        for end, block in segment.blocks(offset):
            offset = end
            if self._contract(block) is None:
                self._waiting.add((block.model, segment.writer))
            # Behind a row that waits, all later ones of its model and writer wait too: they arrive in order or not at all.
            if (block.model, segment.writer) in self._waiting:
                stuck = True
                continue
            groups.setdefault((block.model, block.version, block.outputs is None, not block.inputs), []).append(block)
            until[block.model] = block.sequence + block.rows
        tables: dict[str, list[pa.Table]] = {}
        for (model, version, *_), blocks in groups.items():
            tables.setdefault(model, []).append(blocks_table(blocks, segment.writer, self._contracts[model, version]))
        merged = {model: pa.concat_tables(parts, promote_options="permissive") for model, parts in tables.items()}
        return {model: LakeRows(segment.writer, table, until[model]) for model, table in merged.items()}, offset, stuck

    def _contract(self, block: Block) -> Contract | None:
        key = (block.model, block.version)
        try:
            if key not in self._contracts:
                self._contracts[key] = self._contract_of(*key)
        except ProdmlError as error:
            self.problems[block.model] = str(error)
            return None
        return self._contracts[key]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector: it would look through the blocks of a segment again and again, none of which is garbage.

    That takes as long as to read them. What is in no cycle goes with its last reference, as ever.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
