"""What `up`, `down` and `doctor` return."""

from __future__ import annotations

from prodml_magics.actions.formats import span
from prodml_magics.actions.results.base import Result, Table
from prodml_magics.wire.results import DoctorRecord, ServicesRecord

__all__ = ["DoctorResult", "ServicesResult"]


class ServicesResult(Result[ServicesRecord]):
    """Services started or stopped."""

    @property
    def title(self) -> str:
        if self.record.state == "up":
            return f"services {'started' if self.record.changed else 'already running'}: {self.record.url}"
        return "services stopped" if self.record.changed else "no services were running"

    def facts(self) -> list[tuple[str, str]]:
        return [("took", span(self.record.seconds))] if self.record.changed else []


class DoctorResult(Result[DoctorRecord]):
    """Findings with their remedies."""

    limit = 50

    @property
    def title(self) -> str:
        problems = sum(check.state == "problem" for check in self.record.checks)
        return f"{problems} problem{'s' if problems != 1 else ''} found" if problems else "all is well"

    def table(self) -> Table:
        return ("check", "state", "found", "remedy"), [
            (check.name, check.state, check.found, check.remedy) for check in self.record.checks
        ]
