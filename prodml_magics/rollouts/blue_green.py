"""Blue-green: a version takes all traffic at once, and the one before it stays warm for the way back."""

from __future__ import annotations

from msgspec.structs import replace

from prodml_magics.errors import InvalidInput
from prodml_magics.wire.routes import Route, VersionFiles

__all__ = ["promoted", "rolled_back", "undeployed", "without_canary"]


def promoted(route: Route, files: VersionFiles) -> Route:
    """`route` with the version of `files` live and the old live version as previous; it is no shadow or canary any longer.

    Promoting what is live already only renews its files.
    """
    shadows = tuple(shadow for shadow in route.shadows if shadow.version != files.version)
    previous = route.previous if route.live == files.version else route.live
    after = replace(route, live=files.version, previous=previous, shadows=shadows, canary=None)
    return _with_files(after, (*route.files, files))


def rolled_back(route: Route) -> Route:
    """`route` with live and previous exchanged, so that a second rollback returns; the new live version is no shadow.

    While a canary runs the way back is to end it: the live version has not changed yet.
    """
    if route.live is None:
        raise InvalidInput(f"{route.model} is not deployed; there is nothing to roll back")
    if route.canary is not None:
        return without_canary(route)
    if route.previous is None:
        raise InvalidInput(f"{route.model} has no previous version; deploy another one with %deploy {route.model}@VERSION")
    shadows = tuple(shadow for shadow in route.shadows if shadow.version != route.previous)
    return replace(route, live=route.previous, previous=route.live, shadows=shadows)


def undeployed(route: Route) -> Route:
    """`route` that nobody answers."""
    if route.live is None:
        raise InvalidInput(f"{route.model} is not deployed; there is nothing to stop")
    return replace(route, live=None, previous=None, shadows=(), files=(), canary=None)


def without_canary(route: Route) -> Route:
    """`route` with all live traffic on its live version."""
    after = replace(route, canary=None)
    return replace(after, files=tuple(entry for entry in route.files if entry.version in after.loaded()))


def _with_files(route: Route, files: tuple[VersionFiles, ...]) -> Route:
    """`route` with the latest files of each version that it still names."""
    latest = {entry.version: entry for entry in files}
    return replace(route, files=tuple(latest[version] for version in route.loaded() if version in latest))
