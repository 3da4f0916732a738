"""What actions return that change who answers."""

from __future__ import annotations

from collections.abc import Sequence

from prodml_magics.actions.formats import span
from prodml_magics.actions.results.base import Result
from prodml_magics.wire.results import Change

__all__ = ["ChangeResult", "changes"]


_DONE = {
    "deploy": "is live",
    "rollback": "is live again",
    "undo": "is live again",
    "shadow": "stays live",
    "unshadow": "stays live, the shadow has ended",
}


class ChangeResult(Result[Change]):
    """A changed route."""

    @property
    def title(self) -> str:
        if self.record.kind == "dry run":
            return f"{self.record.model}: nothing was changed; {self.record.note}"
        if self.record.version is None:
            return f"{self.record.model} is not served any more"
        if self.record.event is None:
            return f"{self.record.model}@{self.record.version}: nothing to do, {self.record.note}"
        done = _DONE.get(self.record.kind, "is live")
        return f"{self.record.model}@{self.record.version} {done}"

    def facts(self) -> list[tuple[str, str]]:
        change = self.record
        found = [("url", change.url)] if change.url else []
        if change.previous is not None:
            found.append(("previous", f"version {change.previous}, warm; %rollback {change.model} returns to it"))
        if change.shadows:
            versions = ", ".join(str(version) for version in change.shadows)
            found.append(("shadow", f"version {versions}; %shadow {change.model} compares"))
        if change.bake is not None:
            found.append(("watched", f"{span(change.bake)}; worse than before, it goes back by itself (%rollout {change.model})"))
        if change.event is not None:
            found.append(("ledger", f"entry {change.event}, in {span(change.seconds)}"))
        found += changes(change.changes)
        return [(label, str(value)) for label, value in found]

    def warnings(self) -> Sequence[str]:
        return (self.record.note,) if self.record.note and self.record.event is not None else ()


def changes(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Facts of what a dry run found."""
    return [("would change" if not index else "", line) for index, line in enumerate(lines)]
