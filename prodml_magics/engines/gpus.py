"""The GPUs of this machine, one of which each worker has for itself as long as they suffice."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["VISIBLE", "gpu_of", "visible_gpus"]

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The variable by which CUDA is told what it may see (CUDA C++ Programming Guide, environment variables)."""
_NODES = Path("/dev")


def visible_gpus(environment: Mapping[str, str] = os.environ, nodes: Path = _NODES) -> tuple[str, ...]:
    """What `VISIBLE` may name: what it names already, else the numbers of the GPUs whose device nodes are here; none without any."""
    said = environment.get(VISIBLE)
    if said is None:
        found = [node for node in nodes.glob("nvidia[0-9]*") if node.name[len("nvidia") :].isdigit()]
        return tuple(str(number) for number in range(len(found)))
    names: list[str] = []
    for name in map(str.strip, said.split(",")):
        if not name or name.startswith("-"):  # CUDA sees none behind the first that there is not
            break
        names.append(name)
    return tuple(names)


def gpu_of(worker: int, gpus: Sequence[str]) -> dict[str, str]:
    """What the environment of that worker says of GPUs; they are dealt out in turn."""
    return {VISIBLE: gpus[worker % len(gpus)]} if gpus else {}
