"""Shadow: a version gets a copy of the live rows and answers nobody. What it may lead to is decided here, purely."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from msgspec.structs import replace

from prodml_magics.errors import InvalidInput
from prodml_magics.wire.rollouts import PairedVerdict
from prodml_magics.wire.routes import Route, ShadowPlan, ShadowRoute, VersionFiles

__all__ = ["Follows", "ShadowDecision", "decide", "shadowed", "unshadowed"]

Follows = Literal["nothing", "canary", "everything"]
"""What a shadow that goes first leads to: a ladder, or all traffic at once."""


class ShadowDecision(NamedTuple):
    """What to do with a shadow, why, and the tier of the alert if it is one."""

    kind: Literal["end", "promote", "deploy"]
    reason: str
    tier: Literal["immediate", "daily"] | None = None


def decide(
    plan: ShadowPlan, verdict: PairedVerdict | None, mirrored: int, now: datetime, *, follows: Follows, crashed: bool = False
) -> ShadowDecision | None:
    """What is due, none when nothing is. `mirrored` counts rows that both versions have answered.

    A verdict may be acted upon whenever it is reached: it holds however often one looks. Where an end was given, good news waits
    for it and bad news does not. Nothing becomes live undecided.
    """
    if crashed:
        return ShadowDecision("end", "it crashed the gateway", "immediate")
    said = verdict.verdict if verdict is not None else "undecided"
    reason = verdict.reason if verdict is not None else "no pair yet"
    leads = plan.promote or follows != "nothing"
    if leads and said == "worse":
        return ShadowDecision("end", f"worse: {reason}", "daily")
    ended = _ended(plan, mirrored, now)
    if not ended and not (plan.promote and plan.rows is None and plan.seconds is None):
        return None
    if said in ("no worse", "better") and leads:
        return ShadowDecision("promote" if plan.promote else "deploy", f"{said}: {reason}")
    if not ended:
        return None
    if follows == "canary":
        return ShadowDecision("deploy", f"not shown to be worse: {reason}")
    return ShadowDecision("end", f"{said} after {ended}: {reason}", "daily" if leads else None)


def _ended(plan: ShadowPlan, mirrored: int, now: datetime) -> str:
    """After what it has come to its end; empty when it has not."""
    if plan.rows is not None and mirrored >= plan.rows:
        return f"{mirrored:,} rows"
    if plan.seconds is not None and (now - plan.began_at).total_seconds() >= plan.seconds:
        return f"{plan.seconds:g} s"
    return ""


def shadowed(route: Route, files: VersionFiles, sample: float, plan: ShadowPlan | None = None) -> Route:
    """`route` with the version of `files` as a shadow beside others; in place of what it was as one before."""
    if route.live is None:
        raise InvalidInput(f"{route.model} has no live traffic to mirror; deploy a version first with %deploy {route.model}")
    if route.live == files.version:
        raise InvalidInput(f"version {files.version} of {route.model} is live; a shadow is another version")
    if route.canary is not None and route.canary.version == files.version:
        raise InvalidInput(f"version {files.version} of {route.model} is the canary; see %rollout {route.model}")
    others = tuple(shadow for shadow in route.shadows if shadow.version != files.version)
    known = {entry.version: entry for entry in (*route.files, files)}
    after = replace(route, shadows=(*others, ShadowRoute(files.version, sample, plan)))
    return replace(after, files=tuple(known[version] for version in after.loaded()))


def unshadowed(route: Route, version: int | None = None) -> Route:
    """`route` without its shadows, or without that `version` as a shadow."""
    kept = tuple(shadow for shadow in route.shadows if version is not None and shadow.version != version)
    if len(kept) == len(route.shadows):
        raise InvalidInput(_no_shadow(route, version))
    after = replace(route, shadows=kept)
    return replace(after, files=tuple(entry for entry in route.files if entry.version in after.loaded()))


def _no_shadow(route: Route, version: int | None) -> str:
    """Why there is nothing to end, and what is there in its place."""
    if not route.shadows:
        return f"{route.model} has no shadow, so there is none to stop; begin one with %shadow {route.model}@VERSION"
    names = " and ".join(str(shadow.version) for shadow in route.shadows)
    several = len(route.shadows) > 1
    return (
        f"version {version} of {route.model} is no shadow; version{'s' if several else ''} {names} {'are' if several else 'is'}: "
        f"%shadow {route.model}@{route.shadows[0].version} --stop"
    )
