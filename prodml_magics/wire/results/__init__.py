"""What actions answer, as records: the JSON of ``--json``, of the Lab API and of ``result.to_dict()``."""

from __future__ import annotations

from prodml_magics.wire.results.changes import Change, TimelineRecord
from prodml_magics.wire.results.comparisons import LabelsRecord, ReplayRecord, ShadowComparison, ShadowRecord
from prodml_magics.wire.results.drift import AlarmRecord, DriftRecord, OnsetRecord, WatchRecord
from prodml_magics.wire.results.rollouts import PlanRecord, PlanStep, RolloutRecord, WhatifRecord, WhatifRollout
from prodml_magics.wire.results.services import Check, DoctorRecord, ServicesRecord, TokenEntry, TokensRecord
from prodml_magics.wire.results.versions import ContractChange, OptimizeRecord, PartScore, RegisterRecord, VariantRecord
from prodml_magics.wire.results.window import Window

__all__ = [
    "AlarmRecord",
    "Change",
    "Check",
    "ContractChange",
    "DoctorRecord",
    "DriftRecord",
    "LabelsRecord",
    "OnsetRecord",
    "OptimizeRecord",
    "PartScore",
    "PlanRecord",
    "PlanStep",
    "RegisterRecord",
    "ReplayRecord",
    "RolloutRecord",
    "ServicesRecord",
    "ShadowComparison",
    "ShadowRecord",
    "TimelineRecord",
    "TokenEntry",
    "TokensRecord",
    "VariantRecord",
    "WatchRecord",
    "WhatifRecord",
    "WhatifRollout",
    "Window",
]
