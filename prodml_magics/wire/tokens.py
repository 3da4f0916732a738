"""``tokens.json``: who may ask the gateway for what. It holds hashes only; the secrets are where their owners keep them."""

from __future__ import annotations

from datetime import datetime

import msgspec

__all__ = ["TOKENS_FORMAT", "Token", "Tokens", "is_scope"]

TOKENS_FORMAT = 1


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One bearer token. While it is being replaced the hash of its former secret counts too, until `former_until`."""

    name: str
    sha256: str
    scopes: tuple[str, ...]
    """``predict`` (every model), ``predict:NAME``, ``admin``."""
    created_at: datetime
    created_by: str = ""
    former_sha256: str = ""
    former_until: datetime | None = None


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """All tokens of a home."""

    tokens: tuple[Token, ...] = ()
    format: int = TOKENS_FORMAT


def is_scope(text: str) -> bool:
    """Whether `text` is spelled as a scope is.

    >>> [is_scope(text) for text in ("predict", "predict:cancer", "admin", "write")]
    [True, True, True, False]
    """
    kind, _, model = text.partition(":")
    return text == "admin" or (kind == "predict" and (bool(model) or ":" not in text))
