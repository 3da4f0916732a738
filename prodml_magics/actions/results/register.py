"""What `register` returns."""

from __future__ import annotations

from collections.abc import Sequence

from prodml_magics.actions.formats import number, share, size, span
from prodml_magics.actions.results.base import Result, Table
from prodml_magics.wire.results import RegisterRecord

__all__ = ["RegisterResult"]


_FORMS = {"onnx": "ONNX", "python": "Python"}


class RegisterResult(Result[RegisterRecord]):
    """A new version with what was proved of it."""

    @property
    def title(self) -> str:
        return f"{self.record.name}@{self.record.version} registered as candidate"

    def facts(self) -> list[tuple[str, str]]:
        parity = self.record.parity
        difference, rows = parity.get("max_abs_difference"), parity.get("rows")
        return [
            (
                "parity",
                f"largest difference {number(difference)} over {rows:,} rows, labels agree on {share(parity.get('label_agreement'))}",
            ),
            *self._differences(),
            (
                "model",
                f"{self.record.task}, {size(self.record.size_bytes)} of {_FORMS[self.record.flavor]}, "
                f"registered in {span(self.record.seconds)}",
            ),
            *self._contract(),
        ]

    def _differences(self) -> list[tuple[str, str]]:
        """Where the two answer least alike: kinds of rows, the worst row, the worst part of the training rows."""
        parity = self.record.parity
        kinds = {kind: value for kind, value in (parity.get("differences") or {}).items() if kind != "batch"}
        if not kinds:
            return []
        said = ", ".join(f"{kind} {number(value)}" for kind, value in sorted(kinds.items(), key=lambda item: -(item[1] or 0)))
        worst = next(iter(parity.get("worst") or ()), None)
        said += (
            f"; worst {worst['kind']} row {worst['row']}: {worst['output']} {worst['expected']} as {worst['given']}"
            if worst
            else ""
        )
        return [("differences by rows", said)]

    def _contract(self) -> list[tuple[str, str]]:
        change = self.record.contract
        if change is None:
            return []
        of = f"{change.refused} of the last {change.rows} recorded rows"
        rows = f", would refuse {share(change.refused / change.rows)} of the traffic ({of})" if change.rows else ""
        few = "; ".join(change.changes[:4]) + (f"; and {len(change.changes) - 4} more" if len(change.changes) > 4 else "")
        return [(f"contract beside {self.record.name}@{change.version}", f"{change.compatibility}{rows}: {few or 'the same'}")]

    def table(self) -> Table:
        metrics = [("test", name, value) for name, value in self.record.metrics.items()]
        important = sorted(self.record.importance.items(), key=lambda item: -item[1])[:5]
        return ("kind", "name", "value"), [*metrics, *(("importance", name, value) for name, value in important)]

    def warnings(self) -> Sequence[str]:
        return self.record.warnings
