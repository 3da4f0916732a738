"""The versions that one worker has in memory: loaded when asked for, put away when idle or in the way, let go when nobody names them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prodml_magics.inference.providers import Device, missing_for_gpu
from prodml_magics.serving.limits import Limits
from prodml_magics.serving.memory import Memory, expected_bytes, gpu_memory_of_all
from prodml_magics.serving.version import LoadedVersion
from prodml_magics.wire.routes import MODEL_FILES, VersionFiles

__all__ = ["Held"]

_LOOK_SECONDS = 2.0
"""How often idle versions are looked for."""
_HOLD_SECONDS = 600.0
"""How long a version stays loaded for a deploy that has not written its route yet."""

Key = tuple[str, int, str, str]
"""Model, version, digests of its files, and whether it has a process of its own."""


class Held:
    """Of one worker. `load` opens a version from its files; `rests` says whether nothing waits for one, nor compares it."""

    def __init__(
        self,
        home: Path,
        limits: Limits,
        device: Device,
        load: Callable[..., LoadedVersion],
        rests: Callable[[LoadedVersion], bool],
    ) -> None:
        self._home = home
        self._limits = limits
        self._device = device
        self._load = load
        self._rests = rests
        self._versions: dict[Key, LoadedVersion] = {}
        self._reserved: dict[Key, float] = {}
        """Until when (monotonic seconds) those stay that no route names yet."""
        self.memory = Memory(limits.memory_bytes)
        self._looked = time.monotonic()

    def __iter__(self) -> Iterator[LoadedVersion]:
        """Every version in memory, as of now; may be called from any thread."""
        return iter(list(self._versions.values()))

    async def reserve(self, model: str, files: VersionFiles) -> LoadedVersion:
        """Load a version that no route names yet, and keep it until its route comes or ten minutes have passed.

        What was reserved of the same version otherwise, such as in another place, is reserved no more.
        """
        key = _key(model, files)
        self._reserved = {other: until for other, until in self._reserved.items() if other[:2] != key[:2]}
        self._reserved[key] = time.monotonic() + _HOLD_SECONDS
        return await self.loaded(model, files, untried=True)

    def reserved(self, model: str) -> list[int]:
        """The versions of `model` that are reserved, with or without a route meanwhile."""
        return sorted(version for name, version, *_ in self._reserved if name == model)

    def release(self, model: str) -> None:
        """Nothing of `model` is reserved any more."""
        self._reserved = {key: until for key, until in self._reserved.items() if key[0] != model}

    def keep(self, named: Iterable[tuple[str, VersionFiles]]) -> None:
        """Let go of all but what is `named` or reserved."""
        now = time.monotonic()
        self._reserved = {key: until for key, until in self._reserved.items() if until > now}
        kept = {_key(model, files) for model, files in named}
        for key in self._versions.keys() - kept - self._reserved.keys():
            self._versions.pop(key).close()

    async def loaded(self, model: str, files: VersionFiles, *, untried: bool = False) -> LoadedVersion:
        """The version of these files, loaded where it is not; `Unavailable` when it does not fit."""
        key = _key(model, files)
        if key not in self._versions:
            need = expected_bytes(self._home / files.folder / MODEL_FILES[files.flavor])
            idle = self.idle(self._limits.idle_seconds)
            where = f"{model}@{files.version}"
            self.memory.make_room(need, idle, self._versions.values(), where)
            gpu = self._gpu(files)
            if gpu is not None:
                on_gpu = [version for version in self._versions.values() if version.gpu_bytes]
                gpu.make_room(files.gpu_bytes or need, [version for version in idle if version.gpu_bytes], on_gpu, where)
            loop, before, taken = asyncio.get_running_loop(), self.memory.resident(), gpu.resident() if gpu else 0
            loaded = await loop.run_in_executor(
                None, lambda: self._load(model, files, self._home, device=self._device, untried=untried)
            )
            loaded.bytes = max(need // 3, self.memory.resident() - before)
            if gpu is not None and loaded.session.device == "gpu":
                loaded.gpu_bytes = max(need // 3, gpu.resident() - taken)
            self._versions[key] = loaded
        return self._versions[key]

    def _gpu(self, files: VersionFiles) -> Memory | None:
        """The memory of the GPU, where this version may come to lie in it."""
        wanted = self._device if files.device == "auto" else files.device
        if wanted == "cpu" or files.flavor == "python" or files.isolate or missing_for_gpu() is not None:
            return None
        return gpu_memory_of_all()

    def idle(self, seconds: float) -> list[LoadedVersion]:
        """Versions in memory that have not run for so long and that nothing waits for; none that takes part in a comparison."""
        since = time.monotonic() - seconds
        return [
            version
            for version in self._versions.values()
            if version.used < since and not version.asleep and version.reopen and self._rests(version)
        ]

    def tend(self, idle_seconds: Callable[[str], float | None]) -> None:
        """Put away what has been idle for as long as its model says, and, when memory runs short, what nobody has asked lately."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        for version in self:
            most = idle_seconds(version.model)
            if most is not None and version in self.idle(most):
                version.put_away()
        self.memory.make_room(0, self.idle(self._limits.idle_seconds), ())

    def close(self) -> None:
        """Close every one."""
        for version in self:
            version.close()


def _key(model: str, files: VersionFiles) -> Key:
    place = f"{files.isolate} {files.device} {files.gpu_bytes}"
    return model, files.version, files.model_sha256 + files.contract_sha256 + files.samples_sha256, place
