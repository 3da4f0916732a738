"""What actions return: a record, a polars frame on request, and ways to show it that load on use."""

from __future__ import annotations

from prodml_magics.actions.results.base import Result
from prodml_magics.actions.results.change import ChangeResult
from prodml_magics.actions.results.drift import DriftResult, WatchResult
from prodml_magics.actions.results.labels import LabelsResult
from prodml_magics.actions.results.optimize import OptimizeResult
from prodml_magics.actions.results.plan import PlanResult
from prodml_magics.actions.results.register import RegisterResult
from prodml_magics.actions.results.replay import ReplayResult
from prodml_magics.actions.results.rollout import RolloutResult
from prodml_magics.actions.results.services import DoctorResult, ServicesResult
from prodml_magics.actions.results.shadow import ShadowResult
from prodml_magics.actions.results.status import StatusResult
from prodml_magics.actions.results.timeline import TimelineResult
from prodml_magics.actions.results.tokens import TokensResult
from prodml_magics.actions.results.whatif import WhatifResult

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
