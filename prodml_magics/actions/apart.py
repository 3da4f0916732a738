"""A shadow whose runs take long gets a process of its own: in a thread of the worker they would hold up live requests.

Such a thread computes for milliseconds. Where it shares the worker's processor the kernel may let it go on until its next tick though a
request has come, and where it has just let go of the interpreter the event loop wakes behind it. A process of its own is scheduled as
any other program beside the worker.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from prodml_magics.actions.services import Services
from prodml_magics.wire.routes import Route

__all__ = ["Placed", "apart"]


class Placed(NamedTuple):
    """A route, and what is to be said of where its new shadow runs; empty where nothing is."""

    route: Route
    note: str


def apart(services: Services, route: Route, version: int) -> Placed:
    """`route` with its shadow `version` in a process of its own where one of its runs was measured to take long.

    What is or was live stays in the worker, and so does everything while the gateway is down: then nothing can be measured.
    """
    files = route.file(version)
    proven = version in (route.live, route.previous)
    if proven or files.isolate or files.flavor != "onnx" or services.gateway() is None:
        return Placed(route, "")
    seconds = services.hold(route.model, files).long_seconds
    if seconds is None:
        return Placed(route, "")
    moved = tuple(replace(each, isolate=True) if each.version == version else each for each in route.files)
    note = f"a run of version {version} takes {seconds * 1e3:.0f} ms, so it has a process of its own while it is a shadow"
    return Placed(replace(route, files=moved), note)
