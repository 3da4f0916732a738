"""What `drift` returns, and what a watch for ever does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prodml_magics.actions.formats import moment, share, span
from prodml_magics.actions.results.base import Result, Table, seen
from prodml_magics.wire.results import DriftRecord, OnsetRecord, WatchRecord

if TYPE_CHECKING:
    import polars as pl

    from prodml_magics.views.picture import Picture

__all__ = ["DriftResult", "WatchResult"]


def _by_effect(row: Mapping[str, Any]) -> tuple[bool, bool, float]:
    """What has drifted first, and among that the columns that came or went, which have no effect."""
    return not row["drifted"], row["effect"] is not None, -(row["effect"] or 0.0)


class DriftResult(Result[DriftRecord]):
    """Verdict per column, with what each column looked like."""

    heat: Mapping[str, str] = {"effect": "213, 94, 0"}
    heads: Mapping[str, str] = {"drifted": "verdict", "p_adjusted": "adjusted p", "psi": "PSI"}

    def __init__(self, record: DriftRecord, details: Mapping[str, dict[str, Any]]) -> None:
        super().__init__(record)
        self.details = details

    @property
    def title(self) -> str:
        name = f"{self.record.model}: " if self.record.model else ""
        if self.record.verdict == "undecided":
            return f"{name}undecided: {_doubt(self.record)}"
        doubtful = sum(row["drifted"] is None for row in self.record.columns)
        if self.record.verdict == "no drift":
            return f"{name}none of {len(self.record.columns)} columns has drifted" + (
                f"; {doubtful} undecided" if doubtful else ""
            )
        if not self.record.drifted:
            calm = f"{name}none of {len(self.record.columns)} columns has drifted"
            if any(each["drifted"] for each in self.record.joint):
                return f"{calm} alone, but all of them together have"
            return f"{calm}, but the scores no longer come true"
        if not self.record.outputs:
            return name + _drifted(self.record.drifted, len(self.record.columns), "columns")
        inputs = [column for column in self.record.drifted if column not in self.record.outputs]
        answers = [column for column in self.record.drifted if column in self.record.outputs]
        parts = [_drifted(inputs, len(self.record.columns) - len(self.record.outputs), "inputs")]
        return name + "; ".join([*parts, _drifted(answers, len(self.record.outputs), "outputs")] if answers else parts)

    def facts(self) -> list[tuple[str, str]]:
        window = self.record.window
        reach = f"{moment(window.since)} to {moment(window.until)}" if window.since and window.until else "both frames"
        found = [
            ("window", f"{window.rows:,} {'row' if window.rows == 1 else 'rows'}, {reach}"),
            ("against", self.record.against),
        ]
        if self.record.source == "sketches":
            found.append(("read", _sketches(self.record)))
        if self.record.summary:
            found.append(("because", self.record.summary))
        found += [("since", _onset(each)) for each in self.record.onsets[:_SHOWN_ONSETS]]
        if self.record.drifted and self.record.dataset.get("weighted"):
            found.append(("weight", f"what drifted carries {share(self.record.dataset['share'])} of the importance"))
        found += [(each["method"], each["reason"]) for each in self.record.joint]
        if self.record.calibration:
            found.append(("scores", f"{self.record.calibration['rows']:,} labelled rows: {self.record.calibration['reason']}"))
        found += [_slice_fact(each) for each in self.record.slices[:_SHOWN_SLICES]]
        return [*found, ("computed", f"on {self.record.device} in {span(self.record.seconds)}")]

    def table(self) -> Table:
        names = ("column", "drifted", "effect", "p_adjusted", "psi", "reason")
        return names, _told(sorted(self.record.columns, key=_by_effect), names)

    def warnings(self) -> Sequence[str]:
        note = (self.record.note,) if self.record.note else ()
        return (*seen(self.record.seen_until), *note)

    @property
    def frame(self) -> pl.DataFrame:
        """One row per column with every statistic."""
        import polars as pl

        schema = {"drifted": pl.Boolean, "calibrated": pl.Boolean, "column": pl.String, "kind": pl.String, "reason": pl.String}
        numbers = {"n_reference": pl.Int64, "n_current": pl.Int64}
        names = list(self.record.columns[0]) if self.record.columns else []
        dtypes = {name: schema.get(name) or numbers.get(name) or pl.Float64 for name in names}
        return pl.DataFrame(self.record.columns, schema=dtypes)

    def picture(self) -> Picture | None:
        from prodml_magics.views.drift_picture import drift_picture

        return drift_picture(self.record.columns, self.details) if self.record.columns else None

    def widget(self) -> Any:
        from prodml_magics.views.drift_widget import drift_widget

        summary = {"title": self.title, "facts": [list(fact) for fact in self.facts()], "verdict": self.record.verdict}
        return drift_widget(self.record.columns, dict(self.details), summary, self._picture_id)


def _doubt(record: DriftRecord) -> str:
    """Why nothing can be told of any column: so few rows, what is so of every column, or each for a reason of its own."""
    from prodml_magics.stats.drift.verdict import FEWEST_ROWS

    rows, reasons = record.window.rows, {row["reason"] for row in record.columns}
    if rows < FEWEST_ROWS:
        return f"{rows:,} {'row is' if rows == 1 else 'rows are'} too few to tell"
    if not any(row["n_reference"] for row in record.columns):
        return "the reference has no rows"
    return reasons.pop() if len(reasons) == 1 else f"nothing can be told of any of {len(record.columns)} columns"


_VERDICTS = {True: "drifted", False: "not drifted", None: "undecided"}


def _told(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[list[Any]]:
    """Cells of a table, in which the verdict is the word that the widget has."""
    return [[_VERDICTS[row[name]] if name == "drifted" else row[name] for name in names] for row in rows]


def _sketches(record: DriftRecord) -> str:
    """How many rows a comparison of sketches rests on, and where its tolerances come from."""
    judged = [row for row in record.columns if row["tolerance"] is not None]
    own = sum(row["calibrated"] for row in judged)
    read = f", {record.rows_read:,} of them as rows since the window cuts a bucket" if record.rows_read else ""
    tolerances = f"tolerances calibrated for {own} of {len(judged)} columns" if own else "no tolerance calibrated"
    return f"sketches of all {record.window.rows:,} rows{read}; {tolerances}"


class WatchResult(DriftResult):
    """Of a watch for ever: its alarms, and each column with how far its latest day lies from what was learnt."""

    heat: Mapping[str, str] = {"shift": "213, 94, 0"}
    heads: Mapping[str, str] = {"drifted": "verdict"}

    @property
    def watched(self) -> WatchRecord:
        """How the watch stands."""
        assert self.record.watch is not None
        return self.record.watch

    @property
    def title(self) -> str:
        alarms, watched = self.record.watch.alarms if self.record.watch else (), self.watched
        name = f"{self.record.model}: "
        if self.record.drifted:
            return f"{name}alarm since {moment(alarms[-1].at)}: {', '.join(self.record.drifted[:5])}"
        learning = f"learning, {watched.days_left} {'day' if watched.days_left == 1 else 'days'} left; only days are judged"
        return name + (learning if watched.state == "learning" else "no alarm")

    def facts(self) -> list[tuple[str, str]]:
        watched, window = self.watched, self.record.window
        reach = f", {moment(window.since)} to {moment(window.until)}" if window.since and window.until else ""
        found = [("watched", f"{watched.hours:,} hours, {window.rows:,} rows{reach}"), ("against", self.record.against)]
        found += [("alarm", f"{moment(each.at)}: {each.reason}") for each in watched.alarms[-_SHOWN_ALARMS:]]
        found.append(("evidence", f"{share(watched.evidence)} of what raises an alarm"))
        found.append(("false alarms", f"at most one in {watched.average_days:.3g} days, on average"))
        return [*found, ("computed", f"on {self.record.device} in {span(self.record.seconds)}")]

    def table(self) -> Table:
        names = ("column", "drifted", "shift", "reason")
        order = sorted(self.record.columns, key=lambda row: (not row["drifted"], -abs(row["shift"] or 0.0)))
        return names, _told(order, names)

    @property
    def frame(self) -> pl.DataFrame:
        """One row per column: whether it raised the latest alarm, its shift in sd of what was learnt, and of which of its series."""
        import polars as pl

        schema = {"column": pl.String, "drifted": pl.Boolean, "shift": pl.Float64, "series": pl.String, "reason": pl.String}
        return pl.DataFrame(self.record.columns, schema=schema)

    def picture(self) -> Picture | None:
        return None

    def widget(self) -> Any:
        return None


_SHOWN_ALARMS = 5


_SHOWN_SLICES = 5


_SHOWN_ONSETS = 2


def _onset(each: OnsetRecord) -> str:
    return f"{each.column} moved at about {moment(each.at)}, between {each.earliest:%H:%M:%S} and {each.latest:%H:%M:%S}"


def _slice_fact(part: Mapping[str, Any]) -> tuple[str, str]:
    if "overall" in part:
        return part["slice"], f"{part['n_current']:,} rows, where {part['worst']} moved more: {part['reason']}"
    count = len(part["drifted"])
    columns = f"{count or 'no'} column{'s' if count > 1 else ''} drifted, most "
    said = "undecided: " if part["verdict"] == "undecided" else columns
    return part["slice"], f"{part['n_current']:,} rows; {said}{part['worst']} ({part['reason']})"


def _drifted(names: Sequence[str], count: int, what: str) -> str:
    if not names:
        return f"none of {count} {what} drifted"
    shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    return f"{len(names)} of {count} {what} drifted: {shown}"
