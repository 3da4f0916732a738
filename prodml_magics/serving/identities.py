"""Ids of requests and the keys by which they are routed: those that clients give are checked, others are made here."""

from __future__ import annotations

import secrets
from itertools import count

from prodml_magics.errors import InvalidInput
from prodml_magics.serving.reading import Headers

__all__ = ["KEY", "REQUEST_ID", "Identities"]

KEY = b"x-prodml-key"
"""Header with the routing key of a request: whose rows these are."""
REQUEST_ID = b"x-request-id"


class Identities:
    """Of one worker; `most` is how many characters an id or a key may have."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._origin = secrets.token_hex(6)
        self._made = count(1)

    def made(self) -> str:
        """One that no other request has."""
        return f"{self._origin}-{next(self._made):x}"

    def of(self, headers: Headers, given: str, own: str) -> str:
        """The request's id: `given` in its body, in its head, or else its `own` where one was made; `InvalidInput` where id or key is
        not usable.
        """
        self._text(headers.get(KEY, b""), KEY)
        text = given or self._text(headers.get(REQUEST_ID, b""), REQUEST_ID)
        return self.checked(text) if text else own or self.made()

    def checked(self, text: str) -> str:
        """An id that a client gave."""
        if len(text) > self._most or not text.isprintable():
            raise InvalidInput(f"a request id is at most {self._most} printable characters")
        return text

    def usable(self, key: str) -> bool:
        """Whether a routing key is one."""
        return len(key) <= self._most and key.isascii()

    def _text(self, value: bytes, name: bytes) -> str:
        if len(value) > self._most or not value.isascii():
            raise InvalidInput(f"{name.decode()} is at most {self._most} ASCII characters")
        return value.decode()
