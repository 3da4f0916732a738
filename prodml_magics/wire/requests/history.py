"""Verbs about what happened."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from prodml_magics.wire.requests.base import WHY, Request, flag, positional

__all__ = ["Timeline", "Undo"]


class Timeline(Request, frozen=True):
    """What was live when, by whom and why."""

    model: Annotated[str, positional("model, as NAME (default: all)", "NAME", completes="model")] = ""
    limit: Annotated[int, Meta(ge=1, le=10_000), flag("how many of the latest entries", "N")] = 50


class Undo(Request, frozen=True):
    """Undo an entry of the ledger, the latest one by default."""

    id: Annotated[
        Annotated[int, Meta(ge=1)] | None, positional("entry to undo (default: the latest that can be undone)", "ID")
    ] = None
    dry_run: Annotated[bool, flag("say what would change, and change nothing")] = False
    why: Annotated[str, WHY] = ""
