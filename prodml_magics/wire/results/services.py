"""The services, their tokens and their health."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

__all__ = ["Check", "DoctorRecord", "ServicesRecord", "TokenEntry", "TokensRecord"]


class TokenEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A token without its secret."""

    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    created_by: str = ""
    former_until: datetime | None = None
    """Until when the secret before this one counts."""


class TokensRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of a home, and what became of one of them."""

    tokens: tuple[TokenEntry, ...]
    done: str = ""
    """``made``, ``renewed``, ``revoked``; empty for a list."""
    name: str = ""
    secret_file: str | None = None
    """Where its secret was laid down."""
    required: bool = False
    """Whether predictions need a token."""


class ServicesRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What `up` and `down` did."""

    state: Literal["up", "down"]
    changed: bool
    url: str | None
    seconds: float


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One finding of the doctor."""

    name: str
    state: Literal["ok", "warning", "problem"]
    found: str
    remedy: str = ""


class DoctorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All findings."""

    checks: tuple[Check, ...]
