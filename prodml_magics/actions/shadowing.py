"""What the controller does for shadows: end them when they are due, make them live, or begin what they go before."""

from __future__ import annotations

from typing import Any

import msgspec

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.perform import running
from prodml_magics.actions.services import Services
from prodml_magics.actions.shadow import compare_one
from prodml_magics.actions.shadow_first import followed_by, follows
from prodml_magics.actions.switch import switch
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import Conflict, ProdmlError
from prodml_magics.rollouts.blue_green import promoted
from prodml_magics.rollouts.shadow import ShadowDecision, decide, unshadowed
from prodml_magics.wire.admin import GatewayReport
from prodml_magics.wire.requests import Deploy
from prodml_magics.wire.results import ShadowComparison
from prodml_magics.wire.routes import Route, ShadowRoute

__all__ = ["Shadowing"]

_EVERY = 2.0
_SHARE = 0.05
"""Of one core, at most, goes into comparing one shadow: a comparison that took a second is made again after twenty."""


class Shadowing:
    """The shadows of a home that end by themselves; `look` is called by the clock."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._services = Services(workspace)
        self._seen_id = -1
        self._planned: list[tuple[Route, ShadowRoute, Deploy | None]] = []
        self._due: dict[tuple[str, int], float] = {}
        self.problems: dict[str, str] = {}
        """Per model, why its shadow could not be judged; empty when all is well."""

    def look(self) -> int:
        """Compare what is due and carry out what is decided; returns how many decisions that were."""
        self._find()
        if not self._planned:
            return 0
        report = self._services.gateway()
        return sum(self._guarded(*each, report) for each in self._planned)

    def _find(self) -> None:
        """Which shadows may end or lead to something; asked again only when the ledger has grown."""
        last_id = self._workspace.ledger_revision()
        if last_id == self._seen_id:
            return
        routes = self._workspace.ledger.routes() if last_id else {}
        self._planned = []
        for name, route in routes.items():
            events = self._workspace.ledger.events(name) if route.shadows else []
            for shadow in route.shadows:
                then = followed_by(events, shadow)
                if shadow.plan and (then or shadow.plan.promote or shadow.plan.rows or shadow.plan.seconds):
                    self._planned.append((route, shadow, then))
        self.problems = {name: said for name, said in self.problems.items() if name in {each[0].model for each in self._planned}}
        self._seen_id = last_id

    def _guarded(self, route: Route, shadow: ShadowRoute, then: Deploy | None, report: GatewayReport | None) -> int:
        started, key = self._workspace.clock.monotonic(), (route.model, shadow.version)
        if started < self._due.get(key, started):
            return 0
        try:
            decided = self._decide(route.model, shadow, then, report)
        except Conflict:
            self._seen_id = -1  # somebody else changed the model; what they made of it is read anew
            return 0
        except ProdmlError as error:
            self.problems[route.model] = str(error)
            decided = 0
        else:
            self.problems.pop(route.model, None)
        now = self._workspace.clock.monotonic()
        self._due[key] = now + max(_EVERY, (now - started) / _SHARE)
        return decided

    def _decide(self, model: str, shadow: ShadowRoute, then: Deploy | None, report: GatewayReport | None) -> int:
        before = self._workspace.route(model)
        assert shadow.plan is not None
        if before.live is None or shadow not in before.shadows:
            self._seen_id = -1
            return 0
        frame = self._workspace.lake.rows(model, since=shadow.plan.began_at, statuses=None)
        found = compare_one(self._workspace, frame, model, before.live, shadow, report, shadow.plan.began_at)
        served = [each for each in report.models if each.name == model] if report else []
        crashed = any(shadow.version in each.crashed for each in served)
        mirrored = found.pairs + found.shadow_errors
        now = self._workspace.clock.now()
        decision = decide(shadow.plan, found.verdict, mirrored, now, follows=follows(then), crashed=crashed)
        if decision is None or (decision.kind != "end" and running(self._workspace, before)):
            return 0  # a rollout of the same model ends first
        self._perform(before, shadow, then, decision, found)
        self._seen_id = -1
        return 1

    def _perform(
        self, before: Route, shadow: ShadowRoute, then: Deploy | None, decision: ShadowDecision, found: ShadowComparison
    ) -> None:
        if decision.kind == "deploy" and then is not None:
            try:
                deploy(
                    self._workspace,
                    msgspec.structs.replace(then, why=f"{then.why}; shadow first, {decision.reason}".lstrip("; ")),
                )
                return
            except Conflict:
                raise
            except ProdmlError as error:  # what was possible when it was asked for is not any more
                decision = ShadowDecision("end", f"{decision.reason}; not deployed: {error}", "daily")
        details: dict[str, Any] = {"shadow": msgspec.to_builtins(found)}
        if decision.tier is not None:
            text = f"{before.model}@{shadow.version}: shadow ended, {decision.reason}"
            details |= {"tier": decision.tier, "text": text}
        if decision.kind == "promote":
            after = promoted(before, before.file(shadow.version))
            switch(self._workspace, before, after, kind="promote", cause=f"shadow {decision.reason}", details=details)
            return
        after = unshadowed(before, shadow.version)
        switch(self._workspace, before, after, kind="unshadow", cause=decision.reason, details=details)
