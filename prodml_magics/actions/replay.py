"""%replay: the recorded requests of the lake through another version, offline and in large batches, beside what was answered."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.actions.deploy import resolve
from prodml_magics.actions.paired import Comparing, labels_of, struct_columns
from prodml_magics.actions.results import ReplayResult
from prodml_magics.actions.services import Services
from prodml_magics.actions.windows import before, parse_duration
from prodml_magics.actions.workspace import Workspace
from prodml_magics.contract.codes import feeds_of
from prodml_magics.contract.compare import compare
from prodml_magics.contract.recorded import recorded_tensors
from prodml_magics.contract.schema import Contract
from prodml_magics.errors import GateRefused, InvalidInput, NotFound, UsageError
from prodml_magics.inference.fed import fed
from prodml_magics.inference.isolated import IsolatedSession
from prodml_magics.inference.runner import Runner
from prodml_magics.inference.session import open_session
from prodml_magics.monitoring.pairs import Answers, logged_answers, run_answers
from prodml_magics.rollouts.paired import Tolerances
from prodml_magics.wire.names import parse_reference
from prodml_magics.wire.requests import Replay
from prodml_magics.wire.results import ReplayRecord, ShadowComparison, Window
from prodml_magics.wire.routes import MODEL_FILES, VersionFiles

if TYPE_CHECKING:
    import polars as pl

__all__ = ["compared_as_shadow", "replay"]

_PYTHON = "prodml_magics.registry.trusted"
_CHUNK = 32_768
_PACED = 1_024
_PATIENCE = 200
"""Single rows on which a candidate may fail in a chunk before the rest of what fails is not taken apart any more."""

Tensors = Mapping[str, np.ndarray]


def replay(workspace: Workspace, request: Replay) -> ReplayResult:
    """Compare a version with the live one on the requests that the live one has answered in the window."""
    started = time.perf_counter()
    reference = parse_reference(request.model)
    name, pace = reference.name, _pace(request.speed)
    live = workspace.live(name)
    version = resolve(workspace, reference, default="candidate")
    if version == live:
        raise InvalidInput(f"version {version} of {name} is live, so its answers are there already; replay another version")
    contract = workspace.contract(name, live)
    files = workspace.files(name, version)
    _refuse(name, live, version, contract, workspace.contract(name, version))
    drained = Services(workspace).drain()
    until = workspace.clock.now()
    since = before(until, parse_duration(request.window), f"--window {request.window}")
    rows = workspace.lake.scan(name, arms=("live",), versions=(live,), since=since, until=until)
    run = _Run(workspace, files, workspace.contract(name, version), contract, request)
    try:
        for chunk in _chunks(rows, labels_of(workspace, name, rows), pace):
            run.take(chunk)
    finally:
        run.close()
    if run.first is None:
        raise NotFound(
            f"{name}@{live} has answered no request in the last {request.window} that could be replayed; "
            "look further back with --window 7d"
        )
    seconds = time.perf_counter() - started
    comparison = compared_as_shadow(run.comparing, contract, name, live, version)
    return ReplayResult(
        ReplayRecord(
            model=name,
            comparison=comparison,
            window=Window(since=run.first, until=run.last, rows=run.rows),
            skipped=run.skipped,
            seconds=seconds,
            run_seconds=run.seconds,
            rows_per_second=run.rows / seconds,
            device=run.device,
            seen_until=run.last if drained is None else None,
        )
    )


def compared_as_shadow(
    comparing: Comparing, contract: Contract, model: str, live: int, other: int, **counts: Any
) -> ShadowComparison:
    """The pairs as the record that a shadow is shown by."""
    tally = comparing.tally
    size = comparing.unit.size if comparing.unit else 1.0
    scored = tally.scored > 0
    labelled = contract.task == "classification" and tally.pairs > 0
    return ShadowComparison(
        model=model,
        live=live,
        shadow=other,
        pairs=tally.pairs,
        agreement=1 - tally.differed / tally.pairs if labelled else None,
        mean_difference=size * tally.moved / tally.scored if scored else None,
        max_difference=size * tally.largest if scored else None,
        verdict=comparing.verdict(),
        **({"shadow_errors": tally.failed} | counts),
    )


def _pace(text: str) -> float | None:
    if text.strip() == "max":
        return None
    try:
        value = float(text.strip().removesuffix("x"))
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise UsageError(f"--speed {text!r} is no speed; write max, or how many times as fast as they came, such as 10")
    return value


def _refuse(name: str, live: int, version: int, contract: Contract, other: Contract) -> None:
    broken = compare(contract, other)
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise GateRefused(
            f"what {name}@{live} was asked cannot be asked of version {version}: {broken[0]}{more}; register one with the same columns"
        )


def _chunks(rows: pl.LazyFrame | None, labels: pl.DataFrame | None, pace: float | None) -> Iterator[pl.DataFrame]:
    """Recorded rows with their labels where they have come; at a `pace` in the order and with the pauses in which they came."""
    if rows is None:
        return
    wanted = rows.select("writer", "sequence", "received_at", "key", "inputs", "outputs")
    if labels is not None:
        wanted = wanted.join(labels.lazy(), on=["writer", "sequence"], how="left")
    if pace is None:
        yield from wanted.collect_batches(chunk_size=_CHUNK, maintain_order=True)
        return
    began, first = time.monotonic(), None
    for chunk in wanted.sort("received_at", "writer", "sequence").collect_batches(chunk_size=_PACED, maintain_order=True):
        first = first or chunk["received_at"][0]
        due = began + (chunk["received_at"][-1] - first).total_seconds() / pace
        time.sleep(max(0.0, due - time.monotonic()))
        yield chunk


class _Answered(NamedTuple):
    answers: Answers
    failed: NDArray[np.bool_]


class _Run:
    """The candidate, what it was asked so far, and what came of it."""

    def __init__(self, workspace: Workspace, files: VersionFiles, contract: Contract, live: Contract, request: Replay) -> None:
        self.comparing = Comparing(live, Tolerances(request.tolerance, request.margin, alpha=request.alpha))
        self.rows = self.skipped = 0
        self.seconds = 0.0
        self.first: datetime | None = None
        self.last: datetime | None = None
        self._live = live
        self._contract = contract
        self._session = fed(_opened(workspace, files, request.device), feeds_of(contract))
        self.device = self._session.device

    def close(self) -> None:
        self._session.close()

    def take(self, chunk: pl.DataFrame) -> None:
        """Answer a chunk of recorded rows and compare."""
        inputs = struct_columns(chunk, "inputs")
        whole = self._whole(inputs, chunk.height)
        if not whole.all():
            self.skipped += int((~whole).sum())
            chunk, inputs = chunk.filter(whole), {name: values[whole] for name, values in inputs.items()}
        if not chunk.height:
            return
        answered = self._answer(recorded_tensors(self._contract, inputs), chunk.height)
        labels = chunk["label"] if "label" in chunk.columns else None
        live = logged_answers(self._live, chunk["outputs"])
        self.comparing.take(inputs, live, answered.answers, answered.failed, chunk["key"], labels)
        self.rows += chunk.height
        times = chunk["received_at"].sort()
        self.first = min(self.first or times[0], times[0])
        self.last = max(self.last or times[-1], times[-1])

    def _whole(self, inputs: Tensors, rows: int) -> NDArray[np.bool_]:
        """Rows that hold every value that the candidate needs: a masked or unknown one is null in the lake."""
        whole = np.ones(rows, np.bool_)
        for column in self._contract.columns:
            if not column.nullable and column.name in inputs:
                values = inputs[column.name]
                whole &= _texts(values) if values.dtype.kind == "O" else ~np.isnan(values)
        return whole

    def _answer(self, tensors: Tensors, rows: int) -> _Answered:
        began = time.perf_counter()
        parts = list(self._parts(tensors, np.arange(rows), [_PATIENCE]))
        self.seconds += time.perf_counter() - began
        good = [(place, outputs) for place, outputs in parts if outputs is not None]
        if len(good) == 1 and len(parts) == 1:
            return _Answered(run_answers(self._contract, good[0][1]), np.zeros(rows, np.bool_))
        label, score, failed = np.full(rows, -1, np.int64), np.full(rows, np.nan), np.ones(rows, np.bool_)
        for place, outputs in good:
            found = run_answers(self._contract, outputs)
            failed[place] = False
            if found.label is not None:
                label[place] = found.label
            if found.score is not None:
                score[place] = found.score
        has_label = self._contract.task == "classification" and bool(self._contract.classes)
        return _Answered(Answers(label if has_label else None, score), failed)

    def _parts(
        self, tensors: Tensors, place: NDArray[np.int64], patience: list[int]
    ) -> Iterator[tuple[NDArray[np.int64], dict[str, np.ndarray] | None]]:
        """Runs and their places; where the candidate fails the batch is halved until the rows at fault are found."""
        try:
            yield place, self._session.run(tensors)
            return
        except Exception:  # whatever a candidate throws on recorded rows counts against it
            if len(place) == 1 or patience[0] <= 0:
                patience[0] -= 1
                yield place, None
                return
        half = len(place) // 2
        for cut in (slice(half), slice(half, None)):
            yield from self._parts({name: values[cut] for name, values in tensors.items()}, place[cut], patience)


def _texts(values: np.ndarray) -> NDArray[np.bool_]:
    return np.array([value is not None for value in values.tolist()], np.bool_)


def _opened(workspace: Workspace, files: VersionFiles, device: Any) -> Runner:
    folder = workspace.home / files.folder
    model = (folder / MODEL_FILES[files.flavor]).read_bytes()
    if files.flavor == "python":
        return IsolatedSession(_PYTHON, model, (folder / "contract.json").read_bytes())
    return open_session(model, device=device, threads=os.cpu_count() or 1)
