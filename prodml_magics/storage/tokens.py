"""``tokens.json`` of a home on disk (mode 0600), and the secrets, each in a file of its own that only its owner can read."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from prodml_magics.errors import Unavailable
from prodml_magics.wire.tokens import TOKENS_FORMAT, Tokens

__all__ = ["change_tokens", "read_tokens", "secret_digest", "secret_path", "tokens_path", "write_secret"]


def tokens_path(home: Path) -> Path:
    """Where the hashes are."""
    return home / "tokens.json"


def secret_path(home: Path, name: str) -> Path:
    """Where the secret of a token is laid down for whoever is to use it."""
    return home / "secrets" / f"{name}.token"


def secret_digest(secret: str | bytes) -> str:
    """What is kept of a secret: its sha256, since a secret of 256 random bits needs no slow hash."""
    return hashlib.sha256(secret.encode() if isinstance(secret, str) else secret).hexdigest()


def read_tokens(home: Path) -> Tokens:
    """The tokens of a home, none where there never were any.

    Raises `Unavailable` for a file that cannot be read: whoever guards a door must not take that for an open one.
    """
    path = tokens_path(home)
    try:
        tokens = msgspec.json.decode(path.read_bytes(), type=Tokens)
    except FileNotFoundError:
        return Tokens()
    except OSError as error:
        raise Unavailable(f"{path} cannot be read ({error.strerror}); make it readable for the services") from error
    except msgspec.DecodeError as error:
        raise Unavailable(f"{path} is damaged ({error}); remove it and make the tokens anew") from error
    if tokens.format > TOKENS_FORMAT:
        raise Unavailable(f"{path} was written by a newer release; update prodml-magics")
    return tokens


def change_tokens(home: Path, change: Callable[[Tokens], Tokens]) -> Tokens:
    """Replace the tokens by what `change` makes of them, alone and at once."""
    home.mkdir(parents=True, exist_ok=True)
    lock = os.open(home / "tokens.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        after = change(read_tokens(home))
        _write(tokens_path(home), msgspec.json.format(msgspec.json.encode(after), indent=1))
    finally:
        os.close(lock)
    return after


def write_secret(home: Path, name: str, secret: str) -> Path:
    """Lay a secret down; returns where."""
    path = secret_path(home, name)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    _write(path, secret.encode() + b"\n")
    return path


def _write(path: Path, data: bytes) -> None:
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    fresh.replace(path)
