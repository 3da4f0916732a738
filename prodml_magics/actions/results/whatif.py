"""What `whatif` returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from prodml_magics.actions.formats import share
from prodml_magics.actions.results.base import Result, Table
from prodml_magics.wire.results import WhatifRecord

if TYPE_CHECKING:
    import polars as pl


__all__ = ["WhatifResult"]


class WhatifResult(Result[WhatifRecord]):
    """Past rollouts, as they went and as they would have gone."""

    @property
    def title(self) -> str:
        each = self.record
        return (
            f"{each.model}: {each.caught} of {each.incidents} {'incident' if each.incidents == 1 else 'incidents'} caught, "
            f"{abs(each.exposure_saved):,} requests {'less' if each.exposure_saved >= 0 else 'more'} exposed, "
            f"{abs(each.hours_lost):.3g} hours {'lost' if each.hours_lost >= 0 else 'won'}"
        )

    def table(self) -> Table:
        names = ("entry", "rollout", "ended", "would", "exposed", "would be", "hours", "would take", "lent", "why")
        return names, [
            (
                each.event,
                f"{each.control} → {each.candidate}",
                each.ended,
                each.would_end,
                each.exposure,
                each.would_expose,
                f"{each.hours:.3g}",
                f"{each.would_take:.3g}",
                share(each.lent),
                each.note or each.reason,
            )
            for each in self.record.rollouts
        ]

    @property
    def frame(self) -> pl.DataFrame:
        """One row per rollout."""
        import polars as pl

        return pl.DataFrame([msgspec.to_builtins(each) for each in self.record.rollouts], infer_schema_length=None)

    def warnings(self) -> Sequence[str]:
        said = [f"entry {each.event}: {line}" for each in self.record.rollouts for line in each.unknown]
        lent = [each for each in self.record.rollouts if each.lent > _MUCH_LENT]
        if lent:
            said.append(
                f"of entry {lent[0].event} {share(lent[0].lent)} of the exposure was never seen: other answers of the same version "
                "stand in, so that small differences are not to be trusted"
            )
        return tuple(said)


_MUCH_LENT = 0.5
