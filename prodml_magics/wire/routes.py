"""Who answers for a model: the route that the ledger keeps and the gateway follows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec
from msgspec.structs import replace

__all__ = [
    "MODEL_FILES",
    "ROUTE_FORMAT",
    "CanaryRoute",
    "Device",
    "Flavor",
    "Route",
    "Segment",
    "Serving",
    "ShadowPlan",
    "ShadowRoute",
    "VersionFiles",
    "flavor_of",
]

ROUTE_FORMAT = 1

Device = Literal["auto", "cpu", "gpu", "tensorrt"]
"""Where a model runs: on the GPU where there is one that has every operator of it, or where it is told; never elsewhere unsaid."""

Flavor = Literal["onnx", "python"]
"""How a version is kept: as an ONNX file, or as trusted Python that a process of its own answers for."""

MODEL_FILES: dict[Flavor, str] = {"onnx": "model.onnx", "python": "model.pkl"}
"""The file of a version that holds the model."""


def flavor_of(files: Iterable[str]) -> Flavor | None:
    """Which flavor a version with these `files` has; None for a version of somebody else's."""
    known = set(files)
    return next((flavor for flavor, name in MODEL_FILES.items() if name in known), None)


class VersionFiles(msgspec.Struct, frozen=True):
    """Where the files of a version lie below the home, and the sha256 of the bytes that may be loaded."""

    version: int
    folder: str
    model_sha256: str
    contract_sha256: str
    samples_sha256: str = ""
    """Empty for a version that was registered without rows: it then has no samples to be held to."""
    flavor: Flavor = "onnx"
    isolate: bool = False
    """Whether it answers from a process of its own until it has been live."""
    device: Device = "auto"
    """Where it runs; as its model's `Serving` says."""
    gpu_bytes: int | None = None
    """The most that it may take of the GPU's memory; null for no bound of its own."""


class ShadowPlan(msgspec.Struct, frozen=True, kw_only=True):
    """When a shadow ends by itself, and what it may differ by."""

    began_at: datetime
    rows: int | None = None
    """Mirrored rows after which it ends; null: never by rows."""
    seconds: float | None = None
    """After which it ends; null: never by time."""
    promote: bool = False
    """Whether it becomes live when it is no worse."""
    tolerance: float = 0.02
    margin: float = 0.02
    alpha: float = 0.05


class ShadowRoute(msgspec.Struct, frozen=True):
    """A version that gets a copy of the live traffic and answers nobody."""

    version: int
    sample: float = 1.0
    """Share of the live rows that are mirrored, in (0, 1]."""
    plan: ShadowPlan | None = None
    """Null for shadows of earlier releases, which end by hand alone."""


class Segment(msgspec.Struct, frozen=True):
    """The part of the traffic whose rows have a value in a column."""

    column: str
    value: str


class CanaryRoute(msgspec.Struct, frozen=True):
    """A version that answers a share of the live traffic, chosen by routing key."""

    version: int
    share: float
    """Probability with which a routing key is the canary's, in (0, 1)."""
    salt: str
    """Makes the choice of keys this rollout's own; the same through all its steps, so that a key never leaves the canary."""
    rollout: int
    """Revision of the event that began the rollout: its name in the request log."""
    key: str = ""
    """Column whose value is the routing key; empty: the header ``x-prodml-key`` is. Both missing, a request goes by itself."""
    segment: Segment | None = None
    """Rows outside of it are the live version's, and count for neither."""


class Serving(msgspec.Struct, frozen=True):
    """How the requests of a model are taken, whichever version answers."""

    slo_p99_ms: float | None = None
    """Latency objective: a request that would take longer is refused at once, and batches stay small enough for it."""
    batch_rows: int | None = None
    """Rows of one run; the gateway's own bound when None."""
    mask: tuple[str, ...] = ()
    """Columns whose values no log may hold."""
    cache_bytes: int | None = None
    """Memory for answers that were given before; None keeps none."""
    cache_seconds: float = 600.0
    """How long an answer is kept."""
    fsync_ms: float | None = None
    """Milliseconds after which an answered row is on the disk; 0: before its reply leaves; None: whenever the system writes it."""
    on_log_failure: Literal["refuse", "serve"] = "refuse"
    """What becomes of a request that cannot be logged: answered 503, or answered as ever and counted as not logged."""
    log_sample: float = 1.0
    """Share of the requests that are logged, in (0, 1]."""
    keep_seconds: float | None = None
    """How old a logged row gets before it is deleted, to the day; None for ever."""
    baseline: int | None = None
    """The version that answers when neither the live one nor the one before it can, such as a rule that cannot fail."""
    default: str = ""
    """JSON of one row of outputs, the answer when the baseline cannot give one either; empty for none."""
    idle_seconds: float | None = None
    """How long it may go without a request before it is put out of memory; the next one loads it again. None is for ever."""
    output_range: tuple[float, float] | None = None
    """Numbers among the outputs that lie outside count as failures for the breaker."""
    key: str = ""
    """Column by which canaries split the traffic; empty: that of the version's contract, else none."""
    device: Device = "auto"
    """Where its versions run."""
    gpu_bytes: int | None = None
    """GPU memory that each of its versions may take; None for whatever is free."""


class Route(msgspec.Struct, frozen=True):
    """The complete routing of one model at one revision."""

    model: str
    revision: int
    live: int | None = None
    previous: int | None = None
    shadows: tuple[ShadowRoute, ...] = ()
    files: tuple[VersionFiles, ...] = ()
    format: int = ROUTE_FORMAT
    canary: CanaryRoute | None = None
    serving: Serving = Serving()

    def loaded(self) -> tuple[int, ...]:
        """Versions that a gateway must hold in memory for this route, live first."""
        canary = self.canary.version if self.canary else None
        baseline = None if self.live is None else self.serving.baseline
        wanted = [self.live, canary, self.previous, *(shadow.version for shadow in self.shadows), baseline]
        return tuple(dict.fromkeys(version for version in wanted if version is not None))

    def logging(self) -> Serving:
        """`serving` as the request log follows it: canaries and shadows are judged row by row, so that beside one all is logged."""
        compared = self.canary is not None or bool(self.shadows)
        return msgspec.structs.replace(self.serving, log_sample=1.0) if compared else self.serving

    def file(self, version: int) -> VersionFiles:
        """The files of `version`; every version in `loaded()` has them. What is or was live needs no process of its own any more."""
        found = next(entry for entry in self.files if entry.version == version)
        proven = version in (self.live, self.previous)
        serving = self.serving
        return replace(found, isolate=found.isolate and not proven, device=serving.device, gpu_bytes=serving.gpu_bytes)
