"""The profile of a version: as it was registered with, or built later from rows that somebody has of its training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from prodml_magics.actions.frames import as_columns
from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.nearest import did_you_mean
from prodml_magics.errors import InvalidInput, UsageError

__all__ = ["SAMPLE", "build_profile", "profile_of"]

SAMPLE = 100_000
"""Values of a reference column that are kept, and rows of a reference file beyond memory."""


def profile_of(workspace: Workspace, model: str, version: int) -> bytes | None:
    """The bytes of ``profile.arrow`` of a version, of those it was registered with or built later; None where it has neither."""
    for path in (workspace.home / workspace.files(model, version).folder / "profile.arrow", _built(workspace, model, version)):
        if path.exists():
            return path.read_bytes()
    return None


def build_profile(workspace: Workspace, model: str, version: int, rows: Any, *, exact: bool = False) -> None:
    """Summarise training rows of a version that was registered without them, or elsewhere, and keep that in the home; every value where
    it is to be `exact`.

    Of masked columns little is kept. What the version answers to the rows is not in it: such columns are then not compared.
    """
    from prodml_magics.stats.drift import prepare, to_arrow

    if profile_of(workspace, model, version) is not None:
        raise UsageError(f"{model}@{version} has a profile already; leave out --train")
    given = as_columns(rows, "frame of --train")
    names = [column.name for column in workspace.contract(model, version).columns]
    for name in names:
        if name not in given:
            raise InvalidInput(f"the rows of --train have no column {name!r}; {did_you_mean(name, list(given))}")
    columns = {name: given[name] for name in names}
    if not names or not len(columns[names[0]]):
        raise InvalidInput("there are no rows in --train; give those that the version was trained on")
    masked = workspace.route(model).serving.mask
    sample = len(columns[names[0]]) if exact else SAMPLE
    made = to_arrow(prepare(columns, sample=sample, calibrate=True, tables=True, whole=True, masked=masked))
    path = _built(workspace, model, version)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}")
    beside.write_bytes(made)
    beside.replace(path)


def _built(workspace: Workspace, model: str, version: int) -> Path:
    return workspace.home / "profiles" / model / f"{version}.arrow"
