"""The controller's part in rollouts without services: a clock moved by hand, requests written as a worker writes them."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from plans import plan

from prodml_magics.actions.advance import Advancing
from prodml_magics.actions.blue_green import watch
from prodml_magics.actions.drain import Draining
from prodml_magics.actions.rollout import evidence_of
from prodml_magics.actions.switch import switch
from prodml_magics.actions.workspace import Workspace
from prodml_magics.clock import ManualClock
from prodml_magics.rollouts.blue_green import promoted
from prodml_magics.rollouts.canary import route_of
from prodml_magics.rollouts.evidence import Evidence
from prodml_magics.storage.arrays import to_array
from prodml_magics.storage.blocks import Block
from prodml_magics.storage.spool import SpoolWriter
from prodml_magics.wire.requests import Deploy
from prodml_magics.wire.rollouts import RolloutState
from prodml_magics.wire.routes import Route

DEFAULTS: dict[str, Any] = {"steps": (5.0, 25.0, 50.0, 100.0), "bake": 60.0, "min_rows": 50, "deadline": 3600.0}


def clock(workspace: Workspace) -> ManualClock:
    assert isinstance(workspace.clock, ManualClock)
    return workspace.clock


def kept(workspace: Workspace) -> Evidence:
    """The evidence of the latest rollout as the ledger has it."""
    state = workspace.rollout("cancer")
    assert state is not None
    found = evidence_of(workspace, state)
    assert found is not None
    return found


def begin(workspace: Workspace, candidate: int = 2, **changes: Any) -> RolloutState:
    """Enter a rollout into the ledger as ``deploy --canary`` does, while nothing runs."""
    clock(workspace).advance(1)
    before, now = workspace.route("cancer"), workspace.clock.now()
    chosen = plan(control=before.live, candidate=candidate, **(DEFAULTS | changes))
    state = RolloutState(
        model="cancer",
        id=before.revision + 1,
        plan=chosen,
        phase="running",
        step=0,
        began_at=now,
        step_at=now,
        by=workspace.actor,
    )
    after = route_of(state, before, workspace.files("cancer", candidate))
    switch(workspace, before, after, kind="canary", cause="", details={"rollout": msgspec.to_builtins(state)})
    return state


def switch_at_once(workspace: Workspace, candidate: int = 2, **flags: Any) -> RolloutState:
    """Enter a blue-green deployment into the ledger as ``deploy`` does, while nothing runs."""
    clock(workspace).advance(1)
    before = workspace.route("cancer")
    state = watch(workspace, Deploy(model=f"cancer@{candidate}", **flags), before, candidate)
    assert state is not None
    after = promoted(before, workspace.files("cancer", candidate))
    switch(workspace, before, after, kind="deploy", cause="", details={"rollout": msgspec.to_builtins(state)})
    return state


class Traffic:
    """Requests of one worker, each a run of its own, split as the route in the ledger says."""

    def __init__(
        self,
        workspace: Workspace,
        seed: int,
        *,
        failing: float = 0.0,
        slow: float = 1.0,
        keys: int = 0,
        right: tuple[float, float] = (0.0, 0.0),
        rejecting: float = 0.0,
        scoring: tuple[float, float] = (0.5, 0.5),
    ) -> None:
        """Version 2 fails and is slow in whatever arm, and rejects requests as the canary.

        `right` is how often control and canary answer 1, which is the truth; `scoring` the probability that they give to it.
        """
        self._scoring = scoring
        self._workspace = workspace
        self._right = right
        self.ids: list[str] = []
        self._writer = SpoolWriter(workspace.home / "spool")
        self._rng = np.random.default_rng(seed)
        self._failing, self._slow, self._keys, self._rejecting = failing, slow, keys, rejecting

    def _reject(self, route: Route, version: int) -> None:
        """As a worker does with a request that breaks the contract of the version that it is to go to."""
        assert route.canary is not None
        now, sequence = self._workspace.clock.now().timestamp(), self._writer.sequence
        self._writer.append(
            Block(
                "cancer",
                version,
                "rejected",
                sequence,
                ["own"],
                [1],
                [now],
                [0.1],
                0.0,
                [422],
                [""],
                {},
                None,
                rollout=route.canary.rollout,
                share=route.canary.share,
            )
        )

    def _probabilities(self, canary: bool) -> np.ndarray:
        score = self._scoring[canary]
        return np.array([[1 - score, score]], np.float32)

    def send(self, requests: int) -> None:
        route = self._workspace.route("cancer")
        for _ in range(requests):
            canary = route.canary is not None and self._rng.random() < route.canary.share
            version = route.canary.version if canary and route.canary else route.live or 0
            if canary and self._rejecting and self._rng.random() < self._rejecting:
                self._reject(route, version)
                continue
            failed = version == 2 and self._rng.random() < self._failing
            row = np.zeros((1, 30), np.float32)
            said = np.array([self._rng.random() < self._right[canary]], np.int64)
            self.ids.append(f"r{len(self.ids)}")
            self._writer.append(
                Block(
                    model="cancer",
                    version=version,
                    arm="canary" if canary else "live",
                    sequence=self._writer.sequence,
                    request_ids=[self.ids[-1]],
                    request_rows=[1],
                    received_at=[self._workspace.clock.now().timestamp()],
                    latency_ms=[9.0],
                    run_ms=float(self._rng.lognormal(1.0, 0.3)) * (self._slow if version == 2 else 1.0),
                    status=[500 if failed else 200],
                    keys=[f"k{self._rng.integers(self._keys)}" if self._keys else ""],
                    inputs={"input": to_array(row)},
                    outputs=None if failed else {"label": to_array(said), "probabilities": to_array(self._probabilities(canary))},
                    rollout=route.canary.rollout if route.canary else 0,
                    share=route.canary.share if route.canary else 0.0,
                )
            )


class Controller:
    """Drains and advances as the controller's loop does; `killed` starts another that knows nothing."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.killed()

    def killed(self) -> None:
        self.advancing = Advancing(self.workspace)
        self.draining = Draining(self.workspace, self.advancing.took)

    def look(self) -> int:
        self.draining.drain()
        return self.advancing.advance()
