"""What became of a version that was registered or optimised."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from prodml_magics.wire.routes import Flavor

__all__ = ["ContractChange", "OptimizeRecord", "PartScore", "RegisterRecord", "VariantRecord"]


class ContractChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a new version changes for those who ask it, beside the version that is live, or the one registered before."""

    version: int
    """The version that it is compared with."""
    compatibility: Literal["FULL", "BACKWARD", "FORWARD", "NONE"]
    """BACKWARD: who asks that version can ask this one; FORWARD: the other way round; FULL: both."""
    changes: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    """What would fail for clients of that version."""
    rows: int = 0
    """Rows recorded for that version that were looked at, the latest of the last 7 days."""
    refused: int = 0
    """Those of them that this version would refuse."""


class RegisterRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A new version and what was proved of it."""

    name: str
    version: int
    task: str
    metrics: dict[str, float]
    importance: dict[str, float]
    parity: dict[str, Any]
    contract: ContractChange | None = None
    """Null for the first version of a model."""
    flavor: Flavor = "onnx"
    size_bytes: int
    seconds: float
    warnings: tuple[str, ...] = ()


class PartScore(msgspec.Struct, frozen=True, kw_only=True):
    """What a variant scores on a part of the rows, beside what the version does there."""

    part: str
    """A quarter of a numeric column, or the rows of one class."""
    rows: int
    original: float
    score: float


class VariantRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A variant of a version, measured on the rows given."""

    name: str
    size_bytes: int = 0
    microseconds: dict[str, float] = {}
    """Of one run, by its rows; one thread, CPU."""
    score: float | None = None
    """Accuracy, or root mean square error; null where no target was given."""
    drop: float | None = None
    """By how much it is worse than the version."""
    changed: float | None = None
    """Share of rows with another label, or a number that moved by more than 1 % of the spread."""
    changed_near: float | None = None
    """The same of rows whose two best probabilities lie within 0.1."""
    worst_slice: str = ""
    score_near: float | None = None
    """The score of those rows; null without them or without a target."""
    parts: tuple[PartScore, ...] = ()
    """The three parts of the rows whose score loses most; empty without a target."""
    largest_difference: float | None = None
    kept: bool = False
    reason: str = ""
    """Why it was not kept."""


class OptimizeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The variants of a version, the version itself first."""

    model: str
    version: int
    rows: int
    max_drop: float
    calibrated_on: str = ""
    """The rows that showed the ranges of activations."""
    variants: tuple[VariantRecord, ...]
    chosen: str | None
    """The fastest one that is worth its difference; null where none is."""
    seconds: float
