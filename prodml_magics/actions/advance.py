"""What the controller does for rollouts: counts requests as they are drained, and puts in force what the machine decides.

Evidence is kept in the ledger after every look, with the numbers of the rows that it counts, so that whoever is killed in between
goes on where it was: rows behind those numbers are read from the lake, rows before them are never counted twice.
"""

from __future__ import annotations

import threading
from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import replace

from prodml_magics.actions.answered import ASKED, COLUMNS, asks_answers, fresh_evidence, live_of, requests_of, score_of
from prodml_magics.actions.labelled import Labelled
from prodml_magics.actions.perform import perform, running
from prodml_magics.actions.rollout import evidence_of
from prodml_magics.actions.services import Services
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import Conflict, NotFound, ProdmlError
from prodml_magics.rollouts.canary import Decision, advance
from prodml_magics.rollouts.evidence import Evidence, begin
from prodml_magics.rollouts.fold import Seen, fold, fold_live
from prodml_magics.rollouts.judge import judge, latched
from prodml_magics.rollouts.verdicts import verdicts
from prodml_magics.storage.lake import LakeRows
from prodml_magics.wire.rollouts import RolloutState
from prodml_magics.wire.routes import Route

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Advancing"]


class Advancing:
    """The rollouts of a home; `took` is told of drained rows in whatever thread drains, `advance` is called by the clock."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._services = Services(workspace)
        self._drained: deque[tuple[str, LakeRows]] = deque()
        self._counted: dict[str, _Counted] = {}
        self._seen_id = -1
        self._one_at_a_time = threading.Lock()
        self.problems: dict[str, str] = {}
        """Per model, why its rollout could not be advanced; empty when all is well."""

    def took(self, model: str, rows: LakeRows) -> None:
        """Rows of `model` are in the lake; kept only while a rollout counts them."""
        if model in self._counted:
            self._drained.append((model, rows))

    def advance(self) -> int:
        """Count what was drained and carry out what is decided; returns how many decisions that were."""
        with self._one_at_a_time:
            self._find()
            batches: dict[str, list[LakeRows]] = {}
            while self._drained:
                model, rows = self._drained.popleft()
                batches.setdefault(model, []).append(rows)
            return sum(self._advance(model, batches.get(model, [])) for model in list(self._counted))

    def _find(self) -> None:
        """Which rollouts run; asked again only when the ledger has grown."""
        last_id = self._workspace.ledger_revision()
        if last_id == self._seen_id:
            return
        states = self._workspace.ledger.rollouts() if last_id else {}
        found = [
            name for name, state in states.items() if not state.over and running(self._workspace, self._workspace.route(name))
        ]
        for name in self._counted.keys() - set(found):
            del self._counted[name]
            self.problems.pop(name, None)
        for name in found:
            known = self._counted.get(name)
            if known is None or known.rollout != states[name].id:
                self._counted[name] = _Counted(states[name].id)
        self._seen_id = last_id

    def _advance(self, model: str, drained: list[LakeRows]) -> int:
        try:
            decided = self._decide(model, drained)
        except Conflict:
            self._seen_id = -1  # somebody else changed the model; what they made of it is read anew
            return 0
        except Exception as error:
            # What was drained is in the lake: it is counted from there, behind the numbers that were kept.
            self._counted[model] = _Counted(self._counted[model].rollout)
            if not isinstance(error, ProdmlError):
                raise
            self.problems[model] = str(error)
            return 0
        self.problems.pop(model, None)
        return decided

    def _decide(self, model: str, drained: list[LakeRows]) -> int:
        before = self._workspace.route(model)
        state = running(self._workspace, before)
        if state is None:
            self._seen_id = -1
            return 0
        evidence = self._counted[model].count(self._workspace, state, drained)
        judged = judge(state, evidence)._replace(crashed=self._crashed(state))
        now = self._workspace.clock.now()
        decision = advance(state, judged, now)
        if decision is not None and decision.kind == "promote" and (gone := self._gone(state)):
            decision = advance(state, judged._replace(gone=gone), now)
        return self._perform(before, state, decision, evidence)

    def _perform(self, before: Route, state: RolloutState, decision: Decision | None, evidence: Evidence) -> int:
        if decision is None:
            return 0
        perform(self._workspace, before, decision, verdicts(state, evidence))
        self._seen_id = -1
        return 1

    def _crashed(self, state: RolloutState) -> bool:
        report = self._services.gateway()
        served = [each for each in report.models if each.name == state.model] if report else []
        return any(state.plan.candidate in each.crashed for each in served)

    def _gone(self, state: RolloutState) -> str:
        if not self._workspace.has_registry():
            return ""
        try:
            self._workspace.registry.resolve(state.model, state.plan.candidate)
        except NotFound as error:
            return str(error).partition(";")[0]
        return ""


class _Counted:
    """The evidence of one rollout as this process has it; none until it was read."""

    def __init__(self, rollout: int) -> None:
        self.rollout = rollout
        self._evidence: Evidence | None = None
        self._seen: Seen = {}
        self._labelled = Labelled()
        self._score: str | None = None

    def count(self, workspace: Workspace, state: RolloutState, drained: list[LakeRows]) -> Evidence:
        """The evidence with `drained` in it, kept in the ledger when it has grown."""
        before = self._evidence
        if self._score is None:
            self._score = score_of(workspace, state)
        evidence = before if before is not None else self._resumed(workspace, state)
        for rows in drained:
            evidence = self._with(state, evidence, rows.writer, rows.table, rows.until)
        evidence = self._labelled.with_labels(workspace, state, evidence)
        if evidence is not before:
            evidence = latched(state.plan, evidence)
            workspace.ledger.keep_evidence(state.model, state.id, msgspec.json.encode(evidence))
        self._evidence = evidence
        return evidence

    def _with(self, state: RolloutState, evidence: Evidence, writer: str, table: pa.Table, until: int) -> Evidence:
        mark = evidence.marks.get(writer, 0)
        if until <= mark:
            return evidence
        fresh = table.filter(pc.greater_equal(table["sequence"], mark))
        counted = self._counted(state, evidence, writer, fresh)
        return replace(counted, marks={**evidence.marks, writer: until})

    def _counted(self, state: RolloutState, evidence: Evidence, writer: str, table: pa.Table) -> Evidence:
        counted = fold(state.plan, evidence, requests_of(state, table, self._score or ""), self._seen)
        return fold_live(state.plan, counted, writer, *live_of(state, table), self._seen)

    def _resumed(self, workspace: Workspace, state: RolloutState) -> Evidence:
        """What was kept, and every row of the lake that it does not count yet."""
        kept = evidence_of(workspace, state)
        evidence = kept or fresh_evidence(workspace, state)
        rows = _rows(workspace, state)
        for (writer,), each in rows.group_by("writer", maintain_order=True):
            table = each.sort("sequence").to_arrow()
            until = int(each["sequence"].max()) + 1  # type: ignore[arg-type]
            if evidence.keyed:
                known = table.filter(pc.less(table["sequence"], evidence.marks.get(str(writer), 0)))
                self._remember(state, evidence, str(writer), known)
            evidence = self._with(state, evidence, str(writer), table, until)
        return evidence

    def _remember(self, state: RolloutState, evidence: Evidence, writer: str, table: pa.Table) -> None:
        """Which keys are counted already: made anew from the rows, since the ledger keeps only numbers."""
        self._counted(state, replace(begin(state.plan, state.id), thresholds=evidence.thresholds), writer, table)


def _rows(workspace: Workspace, state: RolloutState) -> pl.DataFrame:
    """Every row of the lake that may be of this rollout; none else is read into memory."""
    import polars as pl

    # A worker's clock may lie behind the ledger's by a little; the number of the rollout decides.
    since = state.began_at - timedelta(hours=1)
    frame = workspace.lake.scan(state.model, arms=ASKED, statuses=None, since=since)
    known = [] if frame is None else frame.collect_schema().names()
    if frame is None or "rollout" not in known:
        return pl.DataFrame(schema={name: pl.String if name == "writer" else pl.Int64 for name in COLUMNS})
    asked = asks_answers(state.plan) and "outputs" in known
    mine = (pl.col("rollout") == state.id) | (pl.col("received_at") >= state.began_at)
    return frame.filter(mine).select(*COLUMNS, *(("outputs",) if asked else ())).collect()
