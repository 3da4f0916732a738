"""How models and versions are written: ``cancer``, ``cancer@2``, ``cancer@candidate``."""

from __future__ import annotations

import re

import msgspec

from prodml_magics.errors import InvalidInput

__all__ = ["ALIASES", "ModelReference", "check_name", "parse_reference"]


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_VERSION = re.compile(r"[1-9][0-9]{0,9}\Z")
ALIASES = ("live", "previous", "candidate")


class ModelReference(msgspec.Struct, frozen=True):
    """A model, and which of its versions: a number, an alias, or none when the verb decides."""

    name: str
    version: int | None = None
    alias: str | None = None

    def __str__(self) -> str:
        which = self.version if self.version is not None else self.alias
        return self.name if which is None else f"{self.name}@{which}"


def check_name(name: str, what: str = "model") -> str:
    """Return `name` when it can name a model, or `what` else is named as models are; else raise `InvalidInput`."""
    if not isinstance(name, str) or not _NAME.match(name) or ".." in name:
        shown = ascii(name)[:60]
        alone, at, _ = name.partition("@") if isinstance(name, str) else ("", "", "")
        if what == "model" and at and _NAME.match(alone):
            raise InvalidInput(f"{shown} names a version, and this is about the model; write {alone}")
        raise InvalidInput(
            f"{shown} cannot name a {what}; use 1 to 100 letters, digits, '.', '_' or '-', starting with a letter or digit"
        )
    return name


def parse_reference(text: str) -> ModelReference:
    """Read ``name``, ``name@7`` or ``name@alias``.

    >>> parse_reference("cancer@2")
    ModelReference(name='cancer', version=2, alias=None)
    """
    if not isinstance(text, str):
        raise InvalidInput(f"a model is written as text such as 'cancer' or 'cancer@2', not {type(text).__name__}")
    name, at, which = text.partition("@")
    check_name(name)
    if not at:
        return ModelReference(name)
    if _VERSION.match(which) and int(which) < 2**31:
        return ModelReference(name, version=int(which))
    if which in ALIASES:
        return ModelReference(name, alias=which)
    raise InvalidInput(
        f"{ascii(which)[:40]} is not a version of {name}; write {name}@2, or one of {', '.join(f'{name}@{a}' for a in ALIASES)}"
    )
