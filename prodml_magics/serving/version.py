"""One model version in memory: its session and contract, verified and warm."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np

from prodml_magics.contract.codes import feeds_of
from prodml_magics.contract.samples import read_samples
from prodml_magics.contract.schema import Contract, read_contract
from prodml_magics.errors import GateRefused, ProdmlError, Unavailable, first_line
from prodml_magics.inference.fed import Fed, fed
from prodml_magics.inference.isolated import IsolatedSession
from prodml_magics.inference.providers import Gpu
from prodml_magics.inference.runner import Runner
from prodml_magics.inference.session import Session, open_session
from prodml_magics.inference.smoke import smoke_run
from prodml_magics.serving.asleep import Asleep
from prodml_magics.serving.breaker import Breaker
from prodml_magics.serving.marker import ShadowMarker
from prodml_magics.wire.routes import MODEL_FILES, Device, Flavor, Serving, VersionFiles

__all__ = ["LoadedVersion", "load_version"]

_PYTHON = "prodml_magics.registry.trusted"
_ONNX = "prodml_magics.inference.onnx_worker"
_WARM_RUNS = 3
_ABSOLUTE = 1e-5
_RELATIVE = 1e-4


class LoadedVersion:
    """A version that can answer; `seconds_per_row` follows its measured runs."""

    def __init__(self, model: str, version: int, session: Runner, contract: Contract, flavor: Flavor = "onnx") -> None:
        self.flavor = flavor
        self.model = model
        self.version = version
        self.session = session
        self.contract = contract
        self.executor = ThreadPoolExecutor(1, thread_name_prefix=f"{model}@{version}") if session.isolated else None
        """A thread of its own for a model in another process, where a run waits: it must not hold up the runs of other models."""
        self.logging = Serving()
        """How its requests are logged."""
        self.marker: ShadowMarker | None = None
        """Where its name stands while it runs, so that a native crash can be laid at its door."""
        self.breaker = Breaker()
        self.reopen: Callable[[], Runner] | None = None
        """Opens its session anew from its verified files; none where it cannot be put away."""
        self.bytes = 0
        """What it takes in memory, as far as that could be seen when it was loaded."""
        self.gpu_bytes = 0
        """What it takes of the GPU's memory, as far as that could be seen."""
        self.used = time.monotonic()
        """When it last ran, in monotonic seconds."""
        self.holes = True
        """Whether its outputs may hold NaN or infinity; False when none of its registered answers does."""
        self.seconds_per_run = 0.0
        self.seconds_per_row = 0.0

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Answer `tensors` (batch axis first); every output by name."""
        return self.session.run(tensors)

    @property
    def asleep(self) -> bool:
        """Whether its session was put out of memory; the next run opens it again, which takes its time."""
        return isinstance(self.session, Asleep)

    def put_away(self) -> None:
        """Give the memory of its session back; nothing of it may be running."""
        if self.reopen is None or self.asleep:
            return
        opened = self.session
        self.session = Asleep(opened.device, opened.isolated, self._wake)
        opened.close()

    def _wake(self) -> Runner:
        assert self.reopen is not None
        self.session = opened = self.reopen()
        return opened

    @property
    def pid(self) -> int | None:
        """The process that it answers from, where it has one of its own that is running."""
        return getattr(self.session, "pid", None)

    @property
    def platform(self) -> str:
        """The protocol's word for what runs it."""
        return "python" if self.flavor == "python" else "onnx_onnxv1"

    def close(self) -> None:
        """Give back what it holds."""
        self.session.close()
        if self.executor is not None:
            self.executor.shutdown(wait=False)

    def expected_seconds(self, rows: int) -> float:
        """How long a run of `rows` rows should take, from what was measured."""
        return max(self.seconds_per_run, self.seconds_per_row * rows)

    def measured(self, rows: int, seconds: float) -> None:
        """Take one run into the estimate: an exponential mean, so that one slow turn does not stick."""
        self.used = time.monotonic()
        self.seconds_per_run += 0.1 * (min(seconds, self.seconds_per_run * 4 or seconds) - self.seconds_per_run)
        per_row = seconds / max(rows, 1)
        self.seconds_per_row += 0.1 * (min(per_row, self.seconds_per_row * 4 or per_row) - self.seconds_per_row)


def load_version(model: str, files: VersionFiles, home: Path, *, device: Device = "auto", untried: bool = False) -> LoadedVersion:
    """Load a version from the bytes whose sha256 the ledger names, and hold it to its registered sample answers.

    One that is `untried` is first run in a process that may die in this one's place. Raises `GateRefused` when bytes or answers
    differ, `Unavailable` when files cannot be read. `device` is for versions that are told none of their own.
    """
    folder = home / files.folder
    where = f"{model}@{files.version}"
    data = _verified(folder / MODEL_FILES[files.flavor], files.model_sha256, where)
    described = _verified(folder / "contract.json", files.contract_sha256, where)
    try:
        contract = read_contract(described)
    except msgspec.DecodeError as error:
        raise GateRefused(f"{where} has a contract that this release cannot read ({error}); register it again") from error
    samples = _verified(folder / "samples.json", files.samples_sha256, where) if files.samples_sha256 else b""
    if untried and samples and files.flavor == "onnx" and not files.isolate:
        _try(data, contract, samples, where)
    where_to = device if files.device == "auto" else files.device
    gpu = Gpu(files.gpu_bytes, engines=home / "engines" / files.model_sha256)
    feeds = feeds_of(contract)
    session = fed(_opened(files, data, described, where_to, gpu), feeds)
    loaded = LoadedVersion(model, files.version, session, contract, files.flavor)
    loaded.reopen = lambda: fed(
        _opened(files, _verified(folder / MODEL_FILES[files.flavor], files.model_sha256, where), described, where_to, gpu), feeds
    )
    if samples:
        try:
            _check_samples(loaded, samples, where)
        except ProdmlError:
            loaded.close()
            raise
    return loaded


def _try(model: bytes, contract: Contract, samples: bytes, where: str) -> None:
    inputs, feeds = read_samples(samples).inputs, feeds_of(contract)
    try:
        smoke_run(model, [inputs if feeds is None else feeds(inputs)])
    except GateRefused as error:
        raise GateRefused(f"{where} is not loaded: {error}") from error


def _opened(files: VersionFiles, model: bytes, contract: bytes, device: Device, gpu: Gpu) -> Runner:
    # Python is never loaded into a worker: the process that unpickles it is known here by the name of its module alone.
    if files.flavor == "python":
        if device in ("gpu", "tensorrt"):
            raise Unavailable(f"a Python model runs where its own code says, not on --device {device}; give --device auto")
        return IsolatedSession(_PYTHON, model, contract)
    if files.isolate:
        return IsolatedSession(_ONNX, model, contract, device=device, gpu_bytes=gpu.memory_bytes)
    return open_session(model, device=device, gpu=gpu)


def _read(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unavailable(
            f"{where} cannot be loaded: {path.name} {error.strerror}; deploy it again to fetch its files"
        ) from error


def _verified(path: Path, expected: str, where: str) -> bytes:
    data = _read(path, where)
    if hashlib.sha256(data).hexdigest() != expected:
        raise GateRefused(
            f"{where} is not loaded: {path.name} differs from what was registered; deploy it again to fetch its files"
        )
    return data


def _check_samples(loaded: LoadedVersion, data: bytes, where: str) -> None:
    samples = read_samples(data)
    try:
        answered = _warmed(loaded, samples.inputs)
    except Exception as error:  # whatever the runtime throws on rows that it has answered before
        reason = first_line(error)
        raise GateRefused(f"{where} fails on its registered samples ({reason}); register it again on this machine") from error
    loaded.holes = not all(np.isfinite(values).all() for values in samples.outputs.values() if values.dtype.kind == "f")
    for name, values in samples.outputs.items():
        if not _same(answered[name], values):
            raise GateRefused(f"{where} answers its registered samples differently ({name}); register it again on this machine")


def _warmed(loaded: LoadedVersion, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The answers to `inputs`; the fastest of a few runs is where the estimate of its time begins."""
    taken = []
    for _ in range(_WARM_RUNS):
        started = time.perf_counter()
        answered = loaded.run(inputs)
        taken.append(time.perf_counter() - started)
    loaded.seconds_per_run = min(taken)
    loaded.seconds_per_row = min(taken) / max(len(next(iter(inputs.values()))), 1)
    if isinstance(loaded.session, Session | Fed):
        loaded.session.warm(inputs)
    return answered


def _same(answered: np.ndarray, expected: np.ndarray) -> bool:
    if expected.dtype.kind in "fc":
        return bool(np.allclose(answered, expected, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True))
    return answered.shape == expected.shape and bool((answered.astype(str) == expected.astype(str)).all())
