"""Shadow: a version gets a copy of the live rows and answers nobody."""

from __future__ import annotations

from msgspec.structs import replace

from prodml_magics.errors import InvalidInput
from prodml_magics.wire.routes import Route, ShadowRoute, VersionFiles

__all__ = ["shadowed", "unshadowed"]


def shadowed(route: Route, files: VersionFiles, sample: float) -> Route:
    """`route` with the version of `files` as its shadow, in place of an earlier one."""
    if route.live is None:
        raise InvalidInput(f"{route.model} has no live traffic to mirror; deploy a version first with %deploy {route.model}")
    if route.live == files.version:
        raise InvalidInput(f"version {files.version} of {route.model} is live; a shadow is another version")
    if route.canary is not None and route.canary.version == files.version:
        raise InvalidInput(f"version {files.version} of {route.model} is the canary; see %rollout {route.model}")
    shadow = ShadowRoute(files.version, sample)
    known = {entry.version: entry for entry in (*route.files, files)}
    after = replace(route, shadows=(shadow,))
    return replace(after, files=tuple(known[version] for version in after.loaded()))


def unshadowed(route: Route, version: int | None = None) -> Route:
    """`route` without its shadow, or without that `version` as a shadow."""
    kept = tuple(shadow for shadow in route.shadows if version is not None and shadow.version != version)
    if len(kept) == len(route.shadows):
        which = f"version {version} as a shadow" if version is not None else "no shadow"
        raise InvalidInput(f"{route.model} has {'not ' if version is not None else ''}{which}; see %timeline {route.model}")
    after = replace(route, shadows=kept)
    return replace(after, files=tuple(entry for entry in route.files if entry.version in after.loaded()))
