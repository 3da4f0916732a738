"""Requests of one turn of the event loop become one run of the model; nobody waits for a batch to fill."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from prodml_magics.errors import ModelFailure, ProdmlError, Unavailable, first_line
from prodml_magics.inference.runs import RunEnded
from prodml_magics.serving.batch import Batch, Request, Tensors, concatenated, without_abandoned
from prodml_magics.serving.large import Large
from prodml_magics.serving.limits import Limits
from prodml_magics.serving.log import RequestLog
from prodml_magics.serving.metrics import LaneCounts, ModelTraffic
from prodml_magics.serving.pace import Pace
from prodml_magics.serving.plain import PlainAnswers, PlainRequest, plain_form
from prodml_magics.serving.queue import FairQueue
from prodml_magics.serving.raw import BinaryAnswers
from prodml_magics.serving.recent import Recent
from prodml_magics.serving.requests import Answer, Outputs
from prodml_magics.serving.room import Room
from prodml_magics.serving.split import Split
from prodml_magics.serving.timed import count_broken, run_timed
from prodml_magics.serving.turns import Turns
from prodml_magics.serving.version import LoadedVersion

if TYPE_CHECKING:
    from prodml_magics.serving.cached import Cached

__all__ = ["Lane"]


class Lane:
    """The queue in front of one version and one arm.

    A run that is expected to be short stays on the loop; a long one goes to a thread, and meanwhile the next batch forms. Rows and
    answers keep their order; one request that makes the model fail fails alone. One of more rows than a run may have is run in parts,
    between which others have their turn.
    """

    def __init__(
        self,
        version: LoadedVersion,
        arm: str,
        log: RequestLog,
        limits: Limits,
        executor: ThreadPoolExecutor,
        answered: Callable[[Batch], None],
        counts: LaneCounts,
        traffic: ModelTraffic,
        turns: Turns,
        allotted: tuple[int, float] = (0, 0.0),
    ) -> None:
        contract = version.contract
        self.version = version
        self.arm = arm
        self.allotted = allotted
        """The rollout in which its requests were randomised, and with which share; ``(0, 0.0)`` outside of one."""
        self.split: Split | None = None
        """Set on a live lane while a canary runs: who answers a request that names no version."""
        self.fallbacks: tuple[Lane, ...] = ()
        """Who answers in its place while the breaker of its version is open: the first whose own lets requests through."""
        self.cached: Cached | None = None
        """Set on a live lane whose model keeps its answers."""
        self.counts = counts
        self.traffic = traffic
        self.outputs = tuple(tensor.name for tensor in contract.outputs)
        self.wide = any(tensor.datatype == "FP64" for tensor in contract.inputs)
        self.plain = plain_form(contract)
        """Such requests have a shorter way in and out; None where the model's inputs are no plain matrix of floats."""
        names = msgspec.json.encode(version.model), str(version.version).encode()
        self.head = b'"model_name":%b,"model_version":"%b"' % names
        """The beginning of every JSON answer."""
        self._answers = PlainAnswers(self.head, arm, self.outputs)
        self.binary = BinaryAnswers(self.head, arm, self.outputs)
        self._log = log
        self._limits = limits
        self._executor = version.executor or executor
        self._answered = answered
        self._queue: FairQueue[Request] = FairQueue()
        self._running: list[Request] = []
        """What a thread works on."""
        self._large: Large | None = None
        """A request of more rows than a run may have, between its parts."""
        self._others_first = False
        """Whether a run of others is due before its next part."""
        self._thread = 0
        """Which thread that is; 0 for none."""
        self._until = math.inf
        """Monotonic seconds when that run is ended, though its requests would wait longer."""
        self._hung = False
        """Whether requests of a run that hung are tried again, one by one."""
        self._running_rows = 0
        self._pace = Pace(version)
        self._turns = turns
        self._room = Room(version.model, self._queue, limits, self._pace, turns)
        self.turned_away = Recent()
        """Requests that nobody answered since its version keeps failing and nothing stands in."""
        self._apart = False
        """Whether requests wait that each run by themselves."""
        self._scheduled = False
        self._idle = asyncio.Event()
        self._idle.set()

    def standing(self, *, named: bool = False) -> Lane:
        """This lane, or the one that answers in its place while its version keeps failing; `Unavailable` when there is none.

        A request that `named` the version wants that one and no other.
        """
        if self.version.breaker.admits():
            return self
        found = None if named else next((lane for lane in self.fallbacks if lane.version.breaker.admits()), None)
        if found is None:
            self.turned_away.count()
            raise Unavailable(
                f"{self.version.model}@{self.version.version} keeps failing and is not asked; try again in a second"
            )
        return found

    def submit(self, pending: Request) -> None:
        """Queue a request; `Unavailable` when the queue is full, or when the answer would come too late."""
        if self.busy:
            self.check_room(pending.deadline - pending.started, pending.rows, pending.tenant)
        self._queue.append(pending)
        self._idle.clear()
        self._schedule()
        self._turns.entered()

    @property
    def busy(self) -> bool:
        """Whether rows wait or run, or too many requests do of which nothing has been read."""
        return bool(self._queue.rows or self._running_rows) or self._room.late_to_read

    def check_room(self, patience: float, rows: int = 1, tenant: str = "") -> None:
        """As `Room.check`, with the rows that run now."""
        self._room.check(patience, rows, tenant, self._running_rows)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return self._idle.is_set()

    def overdue(self, now: float) -> list[Request]:
        """Requests whose deadline is `now` (monotonic seconds) or earlier and that are still without an answer."""
        waiting = self.cached.waiting() if self.cached else ()
        large = () if self._large is None or self._running else (self._large.pending,)
        return [each for each in (*self._running, *large, *self._queue, *waiting) if each.deadline <= now and not each.settled]

    def end_late_run(self, now: float) -> None:
        """End the run in the thread when nobody waits for any of its answers, or when it hangs for a second time."""
        thread = self._thread
        if thread and self._running and (now > self._until or all(pending.abandoned for pending in self._running)):
            self.version.session.end_runs(lambda runs_in, _started: runs_in == thread)

    async def drained(self) -> None:
        """Return when everything that was submitted is answered."""
        await self._idle.wait()

    def _schedule(self) -> None:
        if (self._queue or self._large) and not self._scheduled:
            self._scheduled = True
            self._turns.soon(self._turn)

    def _turn(self) -> None:
        if self._large is not None and not self._others_go_first():
            self._run_part(self._large)
            return
        self._others_first = False
        batch = self._take()
        if not batch:
            self._done()
            return
        rows = sum(pending.rows for pending in batch)
        inputs = concatenated(batch, self.plain)
        if rows > self._limits.batch_rows:
            self._large = Large(batch[0], inputs, self._limits.batch_rows)
            self._run_part(self._large)
            return
        if self._inline(batch, rows):
            self._finish(batch, inputs, *run_timed(self.version, inputs, rows))
            self._done()
            return
        self._running, self._running_rows = batch, rows
        self._hung = self._hung and batch[0].alone
        # Those behind it wait for it, and one of them is to blame.
        self._until = time.monotonic() + 2 * self._limits.inline_limit if self._hung else math.inf
        future = asyncio.get_running_loop().run_in_executor(self._executor, self._run_in_thread, inputs, rows)
        future.add_done_callback(lambda run: self._back(batch, inputs, run))

    def _others_go_first(self) -> bool:
        """Whether the parts of a large request make way for one run of others; a second large one waits for the first."""
        return self._others_first and bool(self._queue) and self._queue.peek().rows <= self._limits.batch_rows

    def _run_part(self, large: Large) -> None:
        self._others_first = True
        if large.pending.abandoned:
            self._large = None
            self._done()
            return
        inputs, rows = large.part()
        self._running, self._running_rows = [large.pending], rows
        self._hung, self._until = False, math.inf
        future = asyncio.get_running_loop().run_in_executor(self._executor, self._run_in_thread, inputs, rows)
        future.add_done_callback(lambda run: self._part_back(large, rows, run))

    def _part_back(self, large: Large, rows: int, run: asyncio.Future[tuple[Tensors | Exception, float]]) -> None:
        self._running, self._running_rows = [], 0
        outputs, seconds = run.result()
        failed = isinstance(outputs, Exception)
        if not failed:
            large.took(outputs, rows, seconds)  # type: ignore[arg-type]  # as just seen
        if failed or large.whole:
            self._large = None
            self._finish([large.pending], large.inputs, outputs if failed else large.outputs(), large.seconds)
        self._pace.ended(rows, others_wait=bool(self._queue))
        self._done()

    def _inline(self, batch: list[Request], rows: int) -> bool:
        """Whether the run is expected to be short; one that has failed before is not trusted with the loop again."""
        version = self.version
        if version.executor is not None or version.asleep or batch[0].alone:
            return False
        return version.expected_seconds(rows) < self._limits.inline_seconds

    def _run_in_thread(self, inputs: Tensors, rows: int) -> tuple[Tensors | Exception, float]:
        self._thread = threading.get_ident()
        try:
            return run_timed(self.version, inputs, rows)
        finally:
            self._thread = 0

    def _back(self, batch: list[Request], inputs: Tensors, run: asyncio.Future[tuple[Tensors | Exception, float]]) -> None:
        self._running, self._running_rows = [], 0
        self._finish(batch, inputs, *run.result())
        self._pace.ended(len(next(iter(inputs.values()))), others_wait=bool(self._queue))
        self._done()

    def _done(self) -> None:
        self._scheduled = False
        self._schedule()
        if not self._queue and not self._scheduled:
            self._idle.set()

    def _take(self) -> list[Request]:
        queue, limits = self._queue, self._limits
        if not self._apart and queue.rows <= limits.batch_rows and self._in_time(queue.rows):
            return [pending for pending in queue.take_all() if not pending.abandoned]
        batch: list[Request] = []
        rows = 0
        while queue and (self._fits(rows) if batch else not self._second_large()):
            pending = queue.popleft()
            if not pending.abandoned:
                batch.append(pending)
                rows += pending.rows
                if pending.alone:
                    break
        self._apart = self._apart and bool(queue)
        return batch

    def _second_large(self) -> bool:
        return self._large is not None and self._queue.peek().rows > self._limits.batch_rows

    def _fits(self, rows: int) -> bool:
        following = self._queue.peek()
        rows += following.rows
        if following.alone or rows > self._limits.batch_rows:
            return False
        return self._in_time(rows)

    def _in_time(self, rows: int) -> bool:
        # With an objective a run takes at most half of it: whoever comes next waits for it, and has a run of its own to go.
        return self._limits.objective == math.inf or self.version.expected_seconds(rows) <= self._limits.objective / 2

    def _finish(self, batch: list[Request], inputs: Tensors, outputs: Tensors | Exception, seconds: float) -> None:
        abandoned = sum([pending.abandoned for pending in batch])
        if abandoned == len(batch):
            return
        if isinstance(outputs, Exception):
            self._fail(batch, inputs, outputs, seconds)
            return
        if abandoned:
            batch, inputs, outputs = without_abandoned(batch, inputs, outputs)
        try:
            now = time.monotonic()
            first = self._log.write(
                self.version, self.arm, batch, inputs, outputs, now=now, run_seconds=seconds, allotted=self.allotted
            )
        except ProdmlError as error:
            _refuse(batch, error)
            return
        self._turns.reply(lambda: self._reply(Batch(batch, inputs, outputs, first, seconds)))

    def _reply(self, ran: Batch) -> None:
        batch, outputs = ran.pending, ran.outputs
        rows = len(next(iter(ran.inputs.values())))
        if rows == len(batch) and all(type(pending) is PlainRequest for pending in batch):
            self._answer_plain(batch, outputs)  # type: ignore[arg-type]  # as just seen
        else:
            _answer(batch, outputs)
        self.counts.ran(len(batch), rows, ran.seconds)
        bounds = self._limits.output_range
        failed = 0 if self.version.holes and bounds is None else count_broken(batch, outputs, bounds, holes=self.version.holes)
        self.version.breaker.took(len(batch) - failed, failed)
        self._answered(ran)

    def _answer_plain(self, batch: Sequence[PlainRequest], outputs: Tensors) -> None:
        """Answer one-row requests: written down together, counted together."""
        try:
            bodies = self._answers.bodies([pending.request_id for pending in batch], outputs)
        except Exception:
            _answer(batch, outputs)  # whatever cannot be written down fails there, each request alone
            return
        for pending, body in zip(batch, bodies, strict=True):
            pending.settled = True
            pending.wire.answer(pending.request_id, body)
        now = time.monotonic()
        latencies = [now - pending.started for pending in batch]
        self.counts.count_all(latencies)
        self.traffic.count_all(latencies, now)

    def counted(self, pending: Request, now: float, status: int) -> None:
        """Take one request that was answered at `now` (monotonic seconds) into the counts."""
        seconds = now - pending.started
        self.counts.count(pending.rows, seconds, status)
        self.traffic.count(pending.rows, seconds, now, failed=status >= 500)

    def _fail(self, batch: list[Request], inputs: Tensors, error: Exception, seconds: float) -> None:
        if _worth_another_try(batch, error):
            self._hung = isinstance(error, RunEnded)
            self._one_by_one(batch)
            return
        failure = self._failure(error)
        self.version.breaker.took(0, len(batch))
        try:
            now, status = time.monotonic(), failure.http_status
            self._log.write(
                self.version, self.arm, batch, inputs, None, now=now, run_seconds=seconds, status=status, allotted=self.allotted
            )
        except ProdmlError as refused:
            failure = refused
        _refuse(batch, failure)

    def _one_by_one(self, batch: list[Request]) -> None:
        """Queue the requests of a failed run again, in front, each to run by itself: one bad request fails alone."""
        for pending in reversed(batch):
            pending.alone = True
            self._queue.appendleft(pending)
        self._apart = True

    def _failure(self, error: Exception) -> ProdmlError:
        name = f"{self.version.model}@{self.version.version}"
        if isinstance(error, ProdmlError):
            return type(error)(f"{name} did not answer: {error}")
        reason = first_line(error, 300)
        return ModelFailure(f"{name} failed on these rows ({reason})")


def _worth_another_try(batch: Sequence[Request], error: Exception) -> bool:
    """Whether its requests are tried again, each by itself.

    Those of a run that was ended are, once, and then in a thread: a run that hung up the loop is not always the rows' fault. What
    else a session reports itself (its process died) would only happen again.
    """
    if isinstance(error, RunEnded):
        return not batch[0].alone
    return len(batch) > 1 and not isinstance(error, ProdmlError)


def _answer(batch: Sequence[Request], outputs: Tensors) -> None:
    shared = Outputs(outputs)
    start = 0
    for pending in batch:
        pending.settle(Answer(shared, start, start := start + pending.rows))


def _refuse(batch: Sequence[Request], error: ProdmlError) -> None:
    for pending in batch:
        pending.settle(error)
