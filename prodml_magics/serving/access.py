"""Who may ask for what: bearer tokens with scopes, read anew when their file changes.

Without a token that may predict, predictions are open to whoever reaches the port, which is this machine alone unless somebody said
otherwise. With one, every prediction needs a token, and so does every other question about models.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from prodml_magics.errors import Forbidden, Unauthorized, Unavailable
from prodml_magics.storage.tokens import read_tokens, secret_digest, tokens_path
from prodml_magics.wire.tokens import Token

__all__ = ["Access"]

_log = logging.getLogger(__name__)
Headers = Mapping[bytes, bytes]
_OWN = Token(name="", sha256="", scopes=("predict", "admin"), created_at=None)  # type: ignore[arg-type]
"""Stands for the token of ``runtime.json``, with which actions speak to this worker."""


class Access:
    """What the tokens of one home allow; `own` is the secret of ``runtime.json``."""

    def __init__(self, home: Path | None, own: str, now: Callable[[], float] = time.time) -> None:
        self._home = home
        self._now = now
        self._own = secret_digest(own)
        self._stamp: tuple[int, int] | None = (-1, -1)
        self._known: dict[str, tuple[Token, float]] = {}
        """By hash of the secret: its token, and until when it counts (seconds since 1970)."""
        self._broken = False
        self.required = False
        """Whether a prediction needs a token."""
        self.generation = 0
        """Changes with the tokens: what was concluded from them before has to be concluded anew."""
        self.follow()

    def follow(self) -> None:
        """Read the tokens anew where their file has changed."""
        if self._home is None:
            return
        stamp = _stamp(tokens_path(self._home))
        if stamp == self._stamp and not self._any_over():
            return
        self._stamp = stamp
        self.generation += 1
        try:
            tokens = read_tokens(self._home).tokens
        except Unavailable as error:
            _log.error("nobody is let in: %s", error)
            self._known, self.required, self._broken = {}, True, True
            return
        self._broken = False
        self._known = {token.sha256: (token, float("inf")) for token in tokens}
        for token in tokens:
            if token.former_sha256 and token.former_until and token.former_until.timestamp() > self._now():
                self._known[token.former_sha256] = (token, token.former_until.timestamp())
        self.required = any(scope.startswith("predict") for token in tokens for scope in token.scopes)

    def _any_over(self) -> bool:
        now = self._now()
        return any(until <= now for _, until in self._known.values())

    def tenant(self, headers: Headers, model: str | None) -> str:
        """The name of the token with which `model` is asked for, empty where none is needed; None is any model.

        Raises `Unauthorized` without a valid token and `Forbidden` with one that is for something else.
        """
        if not self.required:
            return ""
        token = self._token(headers)
        wanted = {"predict"} if model is None else {"predict", f"predict:{model}"}
        if wanted.isdisjoint(token.scopes) and not (model is None and token.scopes):
            raise Forbidden(f"the token {token.name} is not for this model; ask for one with the scope predict:NAME")
        return token.name

    def check_admin(self, headers: Headers) -> None:
        """Return for the token of ``runtime.json`` and for those with the scope ``admin``; raise as `tenant` does for others."""
        token = self._token(headers)
        if "admin" not in token.scopes:
            raise Forbidden(f"the token {token.name} is not for control routes; they need the scope admin")

    def _token(self, headers: Headers) -> Token:
        kind, _, secret = headers.get(b"authorization", b"").partition(b" ")
        given = secret_digest(secret.strip())
        if kind.lower() == b"bearer" and hmac.compare_digest(given, self._own):
            return _OWN
        # Looked up by a hash that nobody can choose: how long that takes says nothing of the secret.
        token, until = self._known.get(given, (None, 0.0))
        if token is None or kind.lower() != b"bearer" or until <= self._now():
            why = "; its tokens cannot be read, see gateway.log" if self._broken else ""
            raise Unauthorized(
                f"this gateway needs a bearer token: send Authorization: Bearer … (see `prodml token --help`){why}"
            )
        return token


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
