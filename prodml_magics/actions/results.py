"""What actions return: a record, a polars frame on request, and ways to show it that load on use."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from prodml_magics.actions.formats import milliseconds, moment, number, share, size, span
from prodml_magics.wire.results import (
    Change,
    DoctorRecord,
    DriftRecord,
    LabelsRecord,
    OnsetRecord,
    OptimizeRecord,
    PlanRecord,
    RegisterRecord,
    ReplayRecord,
    RolloutRecord,
    ServicesRecord,
    ShadowComparison,
    ShadowRecord,
    TimelineRecord,
    TokensRecord,
    VariantRecord,
    WatchRecord,
    WhatifRecord,
)
from prodml_magics.wire.rollouts import GuardVerdict
from prodml_magics.wire.status import StatusReport, TimelineEntry

if TYPE_CHECKING:
    import polars as pl

    from prodml_magics.views.picture import Picture

__all__ = [
    "ChangeResult",
    "DoctorResult",
    "DriftResult",
    "LabelsResult",
    "OptimizeResult",
    "PlanResult",
    "RegisterResult",
    "ReplayResult",
    "Result",
    "RolloutResult",
    "ServicesResult",
    "ShadowResult",
    "StatusResult",
    "TimelineResult",
    "TokensResult",
    "WatchResult",
    "WhatifResult",
]

R = TypeVar("R", bound=msgspec.Struct)
Table = tuple[Sequence[str], Sequence[Sequence[Any]]]


class Result(Generic[R]):
    """A record that shows itself: text in a terminal, table and static picture in a notebook, a widget beside them in Jupyter.

    A subclass says its title, its facts and its table; nothing here knows more of the drawing than that.
    """

    limit = 20
    heat: Mapping[str, str] = {}

    def __init__(self, record: R) -> None:
        self.record = record
        self._picture_id = secrets.token_hex(4)

    def __getattr__(self, name: str) -> Any:
        # The fields of the record are the fields of the result: `.version`, `.url`, `.drifted`.
        if name.startswith("_") or name == "record":
            raise AttributeError(name)
        return getattr(self.record, name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.record.__struct_fields__]

    def to_dict(self) -> dict[str, Any]:
        """The record as ``--json`` prints it: text, numbers, lists and mappings."""
        value: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self.record))
        return value

    @property
    def title(self) -> str:
        """One phrase that says what was found or done."""
        raise AssertionError("every result has a title")

    def facts(self) -> list[tuple[str, str]]:
        """Label and value of what stands above the table."""
        return []

    def table(self) -> Table:
        """Column names and rows; both empty when there is no table."""
        return (), ()

    def warnings(self) -> Sequence[str]:
        """Lines that must not be overlooked."""
        return ()

    def picture(self) -> Picture | None:
        """The static picture, none when there is nothing to draw."""
        return None

    def widget(self) -> Any:
        """The interactive view, none when there is none."""
        return None

    @property
    def frame(self) -> pl.DataFrame:
        """The table as a polars frame."""
        import polars as pl

        names, rows = self.table()
        return pl.DataFrame([list(row) for row in rows], schema=list(names), orient="row", infer_schema_length=None)

    def __str__(self) -> str:
        from prodml_magics.views.text import text_table

        lines = [self.title, *(f"  {label}: {value}" for label, value in self.facts())]
        lines += [f"  ! {warning}" for warning in self.warnings()]
        names, rows = self.table()
        return "\n".join([*lines, text_table(names, rows, limit=self.limit)] if rows else lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from prodml_magics.views.html import card

        names, rows = self.table()
        return card(
            self.title,
            self.facts(),
            names,
            rows,
            limit=self.limit,
            heat=self.heat,
            warnings=self.warnings(),
            picture=self.picture(),
            picture_id=self._picture_id,
        )

    def _ipython_display_(self) -> None:
        """Two outputs: text, table and picture always; the widget only where a Jupyter server runs the kernel."""
        from IPython.display import display, publish_display_data

        publish_display_data({"text/plain": str(self), "text/html": self._repr_html_()})
        if os.environ.get("JPY_SESSION_NAME") and (widget := self.widget()) is not None:
            display(widget)


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
                f"largest difference {number(difference)} over {rows} rows, labels agree on {share(parity.get('label_agreement'))}",
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
        rows = f", would refuse {change.refused} of the last {change.rows} requests" if change.rows else ""
        few = "; ".join(change.changes[:4]) + (f"; and {len(change.changes) - 4} more" if len(change.changes) > 4 else "")
        return [(f"contract beside {self.record.name}@{change.version}", f"{change.compatibility}{rows}: {few or 'the same'}")]

    def table(self) -> Table:
        metrics = [("test", name, value) for name, value in self.record.metrics.items()]
        important = sorted(self.record.importance.items(), key=lambda item: -item[1])[:5]
        return ("kind", "name", "value"), [*metrics, *(("importance", name, value) for name, value in important)]

    def warnings(self) -> Sequence[str]:
        return self.record.warnings


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
        found += _changes(change.changes)
        return [(label, str(value)) for label, value in found]

    def warnings(self) -> Sequence[str]:
        return (self.record.note,) if self.record.note and self.record.event is not None else ()


def _changes(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Facts of what a dry run found."""
    return [("would change" if not index else "", line) for index, line in enumerate(lines)]


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
        return [*found, *_changes(each.changes)]

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
        return names, [_guard_row(guard) for guard in self.record.guards]

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
        lent = [each for each in self.record.rollouts if each.lent > _MUCH_LENT]
        if not lent:
            return ()
        return (
            f"of entry {lent[0].event} {share(lent[0].lent)} of the exposure was never seen: other answers of the same version stand in, "
            "so that small differences are not to be trusted",
        )


_MUCH_LENT = 0.5


class PlanResult(Result[PlanRecord]):
    """A ladder held against the traffic."""

    limit = 50

    @property
    def title(self) -> str:
        blind = sum(not step.sees for step in self.record.steps)
        what = f"{blind} of {len(self.record.steps)} guards and steps are blind" if blind else "every step can see the effect"
        return f"{self.record.model}@{self.record.version}: {what}"

    def facts(self) -> list[tuple[str, str]]:
        each = self.record
        found = [("traffic", f"{each.requests_per_hour:,.0f} requests per hour, {share(each.error_rate)} failed")]
        return [*found, ("try", each.proposal)] if each.warnings and each.proposal else found

    def table(self) -> Table:
        names = ("step", "guard", "effect", "requests until seen", "hours", "until no worse", "hours ", "seen in the step")
        rows = [
            (f"{row.percent:g} %", row.guard, row.effect, row.rows_until_harm, row.hours_until_harm, row.rows_until_no_worse,
             row.hours_until_no_worse, row.rows_seen)
            for row in self.record.steps
        ]  # fmt: skip
        if not self.record.simulated:
            return names, rows
        return (*names, "simulated until seen"), [
            (*row, step.simulated_rows if step.simulated_rows is not None else "not seen")
            for row, step in zip(rows, self.record.steps, strict=True)
        ]

    def warnings(self) -> Sequence[str]:
        return self.record.warnings

    @property
    def frame(self) -> pl.DataFrame:
        """One row per step and guard."""
        import polars as pl

        return pl.DataFrame([msgspec.to_builtins(row) for row in self.record.steps], infer_schema_length=None)


def _guard_row(guard: GuardVerdict) -> tuple[Any, ...]:
    sign = "" if guard.of == "ratio" else "+"
    high = "∞" if guard.high is None else f"{guard.high:{sign}.3g}"
    ratio = "–" if guard.low is None else f"{'× ' if guard.of == 'ratio' else ''}{guard.low:{sign}.3g} to {high}"
    needed = "–" if guard.verdict in ("worse", "no worse", "better") else guard.rows_needed or "unknown"
    return (
        guard.metric,
        guard.verdict,
        guard.margin,
        guard.e_worse,
        guard.e_no_worse,
        guard.canary_events,
        guard.control_events,
        ratio,
        needed,
    )


class ShadowResult(Result[ShadowRecord]):
    """Shadow and live side by side; `drawing` is what the picture of the first shadow shows."""

    def __init__(self, record: ShadowRecord, drawing: Mapping[str, Any] | None = None) -> None:
        super().__init__(record)
        self.drawing = drawing

    def picture(self) -> Picture | None:
        from prodml_magics.views.shadow_picture import shadow_picture

        return shadow_picture(self.drawing) if self.drawing else None

    @property
    def title(self) -> str:
        return "; ".join(_shadow_title(each) for each in self.record.comparisons)

    def facts(self) -> list[tuple[str, str]]:
        several = len(self.record.comparisons) > 1
        return [
            (f"{label} ({each.shadow})" if several else label, said)
            for each in self.record.comparisons
            for label, said in _paired_facts(each)
        ]

    def table(self) -> Table:
        names = ("", "live", "shadow")
        rows: list[tuple[str, Any, Any]] = []
        for each in self.record.comparisons:
            rows += [
                ("version", each.live, each.shadow),
                ("model run, median", milliseconds(each.live_run_ms), milliseconds(each.shadow_run_ms)),
                ("failed rows", each.live_errors, each.shadow_errors),
                ("rows dropped", "–", each.dropped),
                ("mean difference of the score", "–", each.mean_difference),
                ("largest difference", "–", each.max_difference),
            ]
        return names, rows

    def warnings(self) -> Sequence[str]:
        return _seen(self.record.seen_until)

    @property
    def frame(self) -> pl.DataFrame:
        """One row per shadow with all of its evidence."""
        return _paired_frame(self.record.comparisons)

    @property
    def verdict(self) -> str:
        """``better``, ``no worse``, ``worse`` or ``undecided``, of the first shadow; ``frame`` has those of all."""
        verdict = self.record.comparisons[0].verdict
        return verdict.verdict if verdict else "undecided"


def _shadow_title(each: ShadowComparison) -> str:
    if not each.pairs:
        return f"{each.model}: version {each.shadow} has mirrored no row of version {each.live} yet"
    said = "" if each.agreement is None else f", labels agree on {share(each.agreement)}"
    verdict = f": {each.verdict.verdict}" if each.verdict else ""
    return f"{each.model}: shadow {each.shadow} beside live {each.live} on {each.pairs} rows{said}{verdict}"


class OptimizeResult(Result[OptimizeRecord]):
    """The variants of a version, and which of them is worth its difference."""

    @property
    def title(self) -> str:
        name = f"{self.record.model}@{self.record.version}"
        if self.record.chosen is None:
            return f"{name}: no variant is worth its difference; deploy the version as it is"
        return f"{name}: {self.record.chosen} is worth its difference; %deploy {name} --variant {self.record.chosen}"

    def facts(self) -> list[tuple[str, str]]:
        rows = f"{self.record.rows:,} rows, in {span(self.record.seconds)}; one thread, CPU"
        found = [("measured on", rows), ("may drop", share(self.record.max_drop))]
        return [*found, ("calibrated on", self.record.calibrated_on)] if self.record.calibrated_on else found

    def table(self) -> Table:
        times = [f"µs {rows} rows" for rows in (1, 32, 128)]
        scores = ("score", "drop", "changed", "near the threshold", "score there", "loses most in")
        return ("variant", "size", *times, *scores, "kept"), [self._row(each) for each in self.record.variants]

    def picture(self) -> Picture | None:
        from prodml_magics.views.variants_picture import variants_picture

        return variants_picture(self.to_dict(), self.title)

    def _row(self, each: VariantRecord) -> tuple[Any, ...]:
        times = [number(each.microseconds.get(rows)) for rows in ("1", "32", "128")]
        kept = "" if each.name == "original" else "yes" if each.kept else f"no: {each.reason}"
        shares = [share(value) for value in (each.drop, each.changed, each.changed_near)]
        return (each.name, size(each.size_bytes), *times, each.score, *shares, each.score_near, _lost(each), kept)


def _lost(each: VariantRecord) -> str:
    """The part that loses most of its score; without a truth, and where none loses, the one in which most changed."""
    if not each.parts:
        return each.worst_slice
    worst = each.parts[0]
    return f"{worst.part}: {number(worst.original)} → {number(worst.score)}"


class ReplayResult(Result[ReplayRecord]):
    """Recorded requests answered anew, beside what was answered."""

    @property
    def title(self) -> str:
        each = self.record.comparison
        rows = f"{self.record.window.rows:,} rows"
        return f"{each.model}: version {each.shadow} replayed beside version {each.live} on {rows}: {self.verdict}"

    def facts(self) -> list[tuple[str, str]]:
        each = self.record
        found = _paired_facts(each.comparison)
        found.append(("requests", f"{moment(each.window.since)} to {moment(each.window.until)}"))
        speed = f"{span(each.seconds)} on {each.device}, {each.rows_per_second:,.0f} rows/s, {span(each.run_seconds)} of it in the model"
        return [*found, ("took", speed)]

    def table(self) -> Table:
        names = ("rows", "differ", "mean difference of the score", "largest", "failed", "with a label", "right more often by")
        each = self.record.comparison
        differ = None if each.agreement is None else 1 - each.agreement
        labelled = each.verdict.labelled if each.verdict else 0
        gain = each.verdict.accuracy_difference if each.verdict else None
        row = (each.pairs, share(differ), each.mean_difference, each.max_difference, each.shadow_errors, labelled, gain)
        return names, [row]

    def warnings(self) -> Sequence[str]:
        skipped = f"{self.record.skipped:,} rows lack a value that was masked or never sent, and were not replayed"
        return [*([skipped] if self.record.skipped else []), *_seen(self.record.seen_until)]

    @property
    def verdict(self) -> str:
        """``better``, ``no worse``, ``worse`` or ``undecided``."""
        return self.record.comparison.verdict.verdict if self.record.comparison.verdict else "undecided"

    @property
    def frame(self) -> pl.DataFrame:
        """One row with the comparison and all of its evidence."""
        return _paired_frame([self.record.comparison])


def _paired_facts(each: ShadowComparison) -> list[tuple[str, str]]:
    """Why, and what is missing, of a verdict on pairs."""
    verdict = each.verdict
    if verdict is None:
        return []
    found = [("why", verdict.reason), ("e-values", f"worse {number(verdict.e_worse)}, no worse {number(verdict.e_no_worse)}")]
    if verdict.slices:
        found.append(("differs most where", ", ".join(verdict.slices[:5])))
    if verdict.pairs_needed:
        found.append(("still needs", f"about {verdict.pairs_needed:,} pairs"))
    return found


def _paired_frame(comparisons: Sequence[ShadowComparison]) -> pl.DataFrame:
    import polars as pl

    rows = []
    for each in comparisons:
        plain = msgspec.to_builtins(each)
        shown = plain.pop("verdict") or {}
        rows.append({**plain, **shown, "slices": list(shown.get("slices", ()))})
    return pl.DataFrame(rows, infer_schema_length=None)


class LabelsResult(Result[LabelsRecord]):
    """Labels that were taken, or how many rows have one."""

    @property
    def title(self) -> str:
        each = self.record
        if each.served is not None:
            return f"{each.model}: {each.labelled:,} of {each.served:,} answered rows have a label"
        return f"{each.model}: {each.taken:,} label{'' if each.taken == 1 else 's'} taken, {each.matched:,} of answered rows"

    def facts(self) -> list[tuple[str, str]]:
        found = [("corrected", f"{self.record.corrected:,} had a label before; the later one holds")]
        return found if self.record.corrected else []

    def warnings(self) -> Sequence[str]:
        return self.record.warnings


class TokensResult(Result[TokensRecord]):
    """Tokens without their secrets."""

    @property
    def title(self) -> str:
        each = self.record
        if each.done:
            return f"token {each.name} {each.done}"
        return f"{len(each.tokens)} token{'' if len(each.tokens) == 1 else 's'}" if each.tokens else "no tokens"

    def facts(self) -> list[tuple[str, str]]:
        found = [("secret", f"in {self.record.secret_file}")] if self.record.secret_file else []
        return [*found, ("predictions", "need a token" if self.record.required else "are open to whoever reaches the port")]

    def table(self) -> Table:
        names = ("token", "scopes", "made", "by", "former secret counts until")
        return names, [
            (each.name, " ".join(each.scopes), moment(each.created_at), each.created_by, moment(each.former_until))
            for each in self.record.tokens
        ]


def _by_effect(row: Mapping[str, Any]) -> tuple[bool, bool, float]:
    """What has drifted first, and among that the columns that came or went, which have no effect."""
    return not row["drifted"], row["effect"] is not None, -(row["effect"] or 0.0)


class DriftResult(Result[DriftRecord]):
    """Verdict per column, with what each column looked like."""

    heat: Mapping[str, str] = {"effect": "213, 94, 0"}

    def __init__(self, record: DriftRecord, details: Mapping[str, dict[str, Any]]) -> None:
        super().__init__(record)
        self.details = details

    @property
    def title(self) -> str:
        name = f"{self.record.model}: " if self.record.model else ""
        if self.record.verdict == "undecided":
            return f"{name}undecided: {self.record.window.rows} rows are too few to tell"
        if self.record.verdict == "no drift":
            return f"{name}none of {len(self.record.columns)} columns has drifted"
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
        found = [("window", f"{window.rows} rows, {reach}"), ("against", self.record.against)]
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
        order = sorted(self.record.columns, key=_by_effect)
        return names, [[row[name] for name in names] for row in order]

    def warnings(self) -> Sequence[str]:
        note = (self.record.note,) if self.record.note else ()
        return (*_seen(self.record.seen_until), *note)

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
        found = [("watched", f"{watched.hours} hours, {window.rows} rows{reach}"), ("against", self.record.against)]
        found += [("alarm", f"{moment(each.at)}: {each.reason}") for each in watched.alarms[-_SHOWN_ALARMS:]]
        found.append(("evidence", f"{share(watched.evidence)} of what raises an alarm"))
        found.append(("false alarms", f"at most one in {watched.average_days:.3g} days, on average"))
        return [*found, ("computed", f"on {self.record.device} in {span(self.record.seconds)}")]

    def table(self) -> Table:
        names = ("column", "drifted", "shift", "reason")
        order = sorted(self.record.columns, key=lambda row: (not row["drifted"], -abs(row["shift"] or 0.0)))
        return names, [[row[name] for name in names] for row in order]

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
        return part["slice"], f"{part['n_current']} rows, where {part['worst']} moved more: {part['reason']}"
    count = len(part["drifted"])
    columns = f"{count or 'no'} column{'s' if count > 1 else ''} drifted, most "
    said = "undecided: " if part["verdict"] == "undecided" else columns
    return part["slice"], f"{part['n_current']} rows; {said}{part['worst']} ({part['reason']})"


def _drifted(names: Sequence[str], count: int, what: str) -> str:
    if not names:
        return f"none of {count} {what} drifted"
    shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    return f"{len(names)} of {count} {what} drifted: {shown}"


class TimelineResult(Result[TimelineRecord]):
    """The ledger as people read it."""

    limit = 50

    @property
    def title(self) -> str:
        count = len(self.record.entries)
        return (
            f"{count} ledger {'entry' if count == 1 else 'entries'}"
            if count
            else "the ledger is empty; %register is where it begins"
        )

    def table(self) -> Table:
        names = ("id", "at (UTC)", "model", "kind", "summary", "why", "by")
        return names, [
            (each.id, f"{each.at:%Y-%m-%d %H:%M:%S}", each.model, each.kind, each.summary, each.cause, _by(each))
            for each in self.record.entries
        ]

    @property
    def frame(self) -> pl.DataFrame:
        """One row per entry, times as UTC datetimes."""
        import polars as pl

        fields = (
            "id", "at", "actor", "model", "kind", "summary", "live", "canary", "share", "tier", "cause", "evidence", "cell", "source",
            "can_undo",
        )  # fmt: skip
        return pl.DataFrame(
            [{name: getattr(each, name) for name in fields} for each in self.record.entries], infer_schema_length=None
        )

    def picture(self) -> Picture | None:
        from prodml_magics.views.timeline_picture import timeline_picture

        entries = [msgspec.to_builtins(each) for each in self.record.entries]
        return timeline_picture(entries) if any(each["live"] for each in entries) else None


def _by(entry: TimelineEntry) -> str:
    return f"{entry.actor}, cell {entry.cell}" if entry.cell else entry.actor


class StatusResult(Result[StatusReport]):
    """Services, routes and traffic."""

    @property
    def title(self) -> str:
        gateway, controller = self.record.gateway, self.record.controller
        where = f" on {gateway.url}" if gateway.state == "up" else ""
        return f"gateway {gateway.state}{where}, controller {controller.state}"

    def facts(self) -> list[tuple[str, str]]:
        return [("home", self.record.home)]

    def table(self) -> Table:
        names = ("model", "live", "on", "canary", "previous", "shadows", "requests", "per second", "p50 ms", "p99 ms", "errors")
        return names, [_model_row(each) for each in self.record.models]

    def warnings(self) -> Sequence[str]:
        if not self.record.models and self.record.gateway.state == "down":
            return ("nothing was ever done in this home; begin with %register, or change the folder or PRODML_HOME",)
        down = [] if self.record.gateway.state == "up" else ["nothing is served; start the services with %up or `prodml up`"]
        return [*down, *(f"{each.name}: {each.problem}" for each in self.record.models if each.problem)]


def _model_row(each: Any) -> tuple[Any, ...]:
    traffic = each.traffic
    shadows = ", ".join(f"{shadow.version} at {shadow.sample:.0%}" for shadow in each.shadows)
    counts = (
        (traffic.requests, traffic.requests_per_second, traffic.p50_ms, traffic.p99_ms, traffic.errors)
        if traffic
        else (None,) * 5
    )
    canary = f"{each.canary} at {each.canary_share:.4g}, {each.rollout}" if each.canary else each.rollout
    return (each.name, each.live, each.device, canary, each.previous, shadows or None, *counts)


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


def _seen(until: Any) -> tuple[str, ...]:
    if until is None:
        return ()
    return (f"the controller is down: rows answered after {moment(until)} are not seen; start it with %up",)
