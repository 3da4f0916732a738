"""What `rollout` returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from prodml_magics.actions.formats import moment
from prodml_magics.actions.results.base import Result, Table
from prodml_magics.actions.results.change import changes
from prodml_magics.actions.results.guards import guard_row
from prodml_magics.wire.results import RolloutRecord

if TYPE_CHECKING:
    import polars as pl

    from prodml_magics.views.picture import Picture

__all__ = ["RolloutResult"]


class RolloutResult(Result[RolloutRecord]):
    """A rollout with its guards."""

    @property
    def title(self) -> str:
        each = self.record
        candidate, step = f"{each.model}@{each.candidate}", f"{each.steps[each.step]:g} %"
        said = {
            "planned": f"would begin at {step}; nothing was changed",
            "running": f"answers {step} of the traffic",
            "paused": f"is paused at {step}",
            "held": f"is held at {step}",
            "baking": "is live and watched",
            "done": "is live; its rollout is done",
            "rolled back": f"was rolled back; version {each.control} answers",
            "aborted": "is not rolled out any more",
        }
        return f"{candidate} {said[each.phase]}"

    def facts(self) -> list[tuple[str, str]]:
        each = self.record
        live = each.phase in ("baking", "done") and each.steps[-1] >= 100
        here = len(each.steps) - 1 if live else each.step
        steps = " → ".join(f"[{step:g} %]" if at == here else f"{step:g} %" for at, step in enumerate(each.steps))
        found = [("ladder", steps), ("against", f"version {each.control}")]
        if each.segment or each.key:
            ways = [f"only {each.segment}" if each.segment else "", f"by {each.key}" if each.key else ""]
            found.append(("split", ", ".join(filter(None, ways))))
        if each.phase != "planned":
            found.append(("exposure", f"{each.canary_requests} requests, {each.step_requests} in this step"))
            found.append(("began", f"{moment(each.began_at)} by {each.by}"))
        if each.reason:
            found.append(("why", each.reason))
        if each.waits_for:
            found.append(("waits for", each.waits_for))
        if each.url:
            found.append(("url", each.url))
        return [*found, *changes(each.changes)]

    def table(self) -> Table:
        names = (
            "guard",
            "verdict",
            "margin",
            "e worse",
            "e no worse",
            "events canary",
            "events live",
            "canary to live",
            "still needs",
        )
        return names, [guard_row(guard) for guard in self.record.guards]

    def warnings(self) -> Sequence[str]:
        notes = [f"{guard.metric}: {guard.note}" for guard in self.record.guards if guard.note]
        return [*([self.record.note] if self.record.note else []), *notes]

    @property
    def verdict(self) -> str:
        """``worse`` when one guard is, ``no worse`` or ``better`` when all are, else ``undecided``."""
        found = {guard.verdict for guard in self.record.guards}
        if not found or "undecided" in found:
            return "worse" if "worse" in found else "undecided"
        return next(word for word in ("worse", "no worse", "better") if word in found)

    @property
    def frame(self) -> pl.DataFrame:
        """One row per guard with all of its evidence."""
        import polars as pl

        return pl.DataFrame([msgspec.to_builtins(guard) for guard in self.record.guards], infer_schema_length=None)

    def picture(self) -> Picture | None:
        from prodml_magics.views.rollout_picture import rollout_picture

        guards = [msgspec.to_builtins(guard) for guard in self.record.guards]
        return rollout_picture(guards, alpha=self.record.alpha, title=self.title) if guards else None
