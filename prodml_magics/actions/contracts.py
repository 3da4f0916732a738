"""What a version to be registered changes for its clients, and what it would refuse of the traffic that was recorded."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from prodml_magics.actions.paired import struct_columns
from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.changes import changes, compatibility, refused_rows
from prodml_magics.contract.compare import compare
from prodml_magics.contract.schema import Contract
from prodml_magics.wire.results import ContractChange

if TYPE_CHECKING:
    import polars as pl

__all__ = ["contract_change"]

_ROWS = 10_000
_DAYS = 7


def contract_change(workspace: Workspace, name: str, contract: Contract) -> ContractChange | None:
    """`contract` beside that of the live version, or of the last one registered; none for the first version of a model.

    The traffic is that of the last 7 days, at most 10,000 rows, as far as it is in the lake.
    """
    route = workspace.route(name)
    before = route.live or max(workspace.versions(name), default=None)
    if before is None:
        return None
    old = workspace.contract(name, before)
    recorded = _recorded(workspace, name, before) if old.columns and contract.columns else None
    refused = refused_rows(contract, struct_columns(recorded, "inputs"), route.serving.mask) if recorded is not None else None
    return ContractChange(
        version=before,
        compatibility=compatibility(old, contract),
        changes=changes(old, contract),
        breaks=compare(old, contract),
        rows=0 if refused is None else len(refused),
        refused=0 if refused is None else int(refused.sum()),
    )


def _recorded(workspace: Workspace, name: str, version: int) -> pl.DataFrame | None:
    since = workspace.clock.now() - timedelta(days=_DAYS)
    rows = workspace.lake.scan(name, arms=("live",), versions=(version,), since=since)
    if rows is None:
        return None
    found = rows.select("received_at", "inputs").sort("received_at").tail(_ROWS).select("inputs").collect()
    return found if found.height else None
