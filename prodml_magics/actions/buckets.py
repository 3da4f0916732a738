"""Served rows of a model as sketches by stretch of time: how they are made of rows of the lake, and what is kept of a window."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from prodml_magics.actions.profiles import profile_of
from prodml_magics.actions.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

    from prodml_magics.stats.drift import Reference
    from prodml_magics.stats.drift.bucket import Grid, Sketch
    from prodml_magics.storage.buckets import BucketStore

__all__ = ["ROWS_ALONE", "VersionGrid", "bucket_store", "grid_of", "joined", "read_grid", "sketch_rows", "summarised"]

ROWS_ALONE = ""
"""The grid under which only rows are counted: a window whose rows another grid does not have in full is looked up in the lake."""


class VersionGrid(NamedTuple):
    """The grids of a version's profile; `name` tells profiles apart that were made anew."""

    name: str
    version: int
    grids: Mapping[str, Grid]
    outputs: frozenset[str]


def bucket_store(workspace: Workspace) -> BucketStore:
    """The store of the home."""
    from prodml_magics.storage.buckets import BucketStore

    return BucketStore(workspace.home / "buckets.db")


def grid_of(version: int, profile: bytes, reference: Reference) -> VersionGrid:
    """The grids of a version whose ``profile.arrow`` and its content are given."""
    from prodml_magics.stats.drift.bucket import grids_of

    name = f"{version}:{hashlib.sha256(profile).hexdigest()[:12]}"
    return VersionGrid(name, version, grids_of(reference), frozenset(reference.extras.get("outputs") or ()))


def read_grid(workspace: Workspace, model: str, version: int) -> VersionGrid | None:
    """The grids of a version's profile; none where it has no profile."""
    from prodml_magics.stats.drift import from_arrow

    profile = profile_of(workspace, model, version)
    return None if profile is None else grid_of(version, profile, from_arrow(profile))


def sketch_rows(grid: VersionGrid, rows: pl.DataFrame) -> dict[str, Sketch]:
    """Sketches of rows of the lake: inputs of all, outputs of those that the version itself answered.

    Columns that the rows do not have, or have in another kind, are left out.
    """
    from prodml_magics.errors import InvalidInput
    from prodml_magics.stats.drift.bucket import sketch_column

    found: dict[str, Sketch] = {}
    for name, values in _columns(grid, rows).items():
        try:
            found[name] = sketch_column(name, grid.grids[name], values)
        except InvalidInput:
            continue  # `drift` finds the column incomplete, reads the rows and says what is wrong with them
    return found


def _columns(grid: VersionGrid, rows: pl.DataFrame) -> dict[str, np.ndarray]:
    inputs = rows["inputs"].struct.unnest()
    answered = rows.filter(rows["version"] == grid.version)
    answers = answered["outputs"].struct.unnest() if "outputs" in answered.columns else None
    columns = {}
    for name in grid.grids:
        source = answers if name in grid.outputs else inputs
        if source is not None and name in source.columns:
            columns[name] = source[name].to_numpy()
    return columns


def joined(packed: Sequence[bytes]) -> bytes:
    """Packed sketches of several buckets as those of one."""
    from prodml_magics.stats.drift.bucket import pack, total, unpack

    return pack(total(map(unpack, packed)))


def summarised(_grid: str, packed: bytes) -> bytes:
    """What stays of an hour whose bucket goes."""
    from prodml_magics.stats.drift.bucket import unpack
    from prodml_magics.stats.drift.hourly import hour_of, pack_hour

    return pack_hour(hour_of(unpack(packed)))
