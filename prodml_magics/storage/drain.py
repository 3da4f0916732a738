"""From the spool into the lake, exactly once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from prodml_magics.contract.schema import Contract
from prodml_magics.errors import ProdmlError
from prodml_magics.storage.blocks import Block
from prodml_magics.storage.lake import Lake, LakeRows
from prodml_magics.storage.spool import Segment, segments
from prodml_magics.storage.tables import block_table

__all__ = ["Drainer"]


class Drainer:
    """Moves what workers have answered into the lake; one per home, in the controller.

    It may be killed at any moment: offsets are kept in memory only, and what is read again is recognised by its sequence numbers.
    """

    def __init__(self, spool: Path, lake: Lake, contract_of: Callable[[str, int], Contract]) -> None:
        self._spool = spool
        self._lake = lake
        self._contract_of = contract_of
        self._offsets: dict[Path, int] = {}
        self.problems: dict[str, str] = {}
        """Per model, why its rows wait in the spool; empty when all is well."""

    def drain(self) -> int:
        """Move everything that is in the spool at this moment; returns how many rows were new to the lake.

        A segment is deleted only when its writer cannot append to it any more and all its rows are committed. Rows of a model
        whose contract cannot be had stay where they are, are named in `problems`, and hold nobody else up.
        """
        found = segments(self._spool)
        self._offsets = {segment.path: self._offsets.get(segment.path, 0) for segment in found}
        # Asked before reading: what is finished now can hold nothing that the reading misses.
        finished = [segment for segment in found if segment.finished()]
        batches, offsets, stuck = self._collect(found)
        moved = sum(self._lake.append(model, rows) for model, rows in batches.items())
        self._offsets |= {path: offset for path, offset in offsets.items() if path not in stuck}
        for segment in finished:
            if segment.path not in stuck:
                segment.remove(self._offsets.pop(segment.path))
        return moved

    def _collect(self, found: list[Segment]) -> tuple[dict[str, list[LakeRows]], dict[Path, int], set[Path]]:
        tables: dict[tuple[str, str], list[pa.Table]] = {}
        until: dict[tuple[str, str], int] = {}
        offsets: dict[Path, int] = {}
        stuck: set[Path] = set()
        self.problems = {}
        for segment in found:
            for offset, block in segment.blocks(self._offsets[segment.path]):
                contract = self._contract(block)
                offsets[segment.path] = offset
                if contract is None:
                    stuck.add(segment.path)
                    continue
                key = (block.model, segment.writer)
                tables.setdefault(key, []).append(block_table(block, segment.writer, contract))
                until[key] = block.sequence + block.rows
        batches: dict[str, list[LakeRows]] = {}
        for (model, writer), parts in tables.items():
            if model not in self.problems:
                merged = pa.concat_tables(parts, promote_options="permissive")
                batches.setdefault(model, []).append(LakeRows(writer, merged, until[model, writer]))
        return batches, offsets, stuck

    def _contract(self, block: Block) -> Contract | None:
        try:
            return self._contract_of(block.model, block.version)
        except ProdmlError as error:
            self.problems[block.model] = str(error)
            return None
