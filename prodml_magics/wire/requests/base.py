"""What the records of all verbs have in common: how a field is typed, and bounds that hold whoever builds a record."""

from __future__ import annotations

import operator
from functools import cache
from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import Meta

from prodml_magics.errors import UsageError

__all__ = ["BOUNDS", "MODEL", "Request", "WHY", "flag", "positional"]


def positional(description: str, metavar: str, **extra: Any) -> Meta:
    """Of a field that is typed without its name."""
    return Meta(description=description, extra={"positional": True, "metavar": metavar, **extra})


def flag(description: str, metavar: str = "", **extra: Any) -> Meta:
    """Of a field that is typed as a flag; one without a `metavar` is on or off."""
    return Meta(description=description, extra={"metavar": metavar, **extra})


MODEL = positional("model, as NAME", "NAME", completes="model")
WHY = flag("why, in your words; kept in the ledger", "TEXT")


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person asks for: the name of the subclass in lower case is the verb, its docstring the help."""

    @classmethod
    def verb(cls) -> str:
        return cls.__name__.lower()

    def __post_init__(self) -> None:
        """`UsageError` for a number outside of the bounds of its field, in the words of the parsers, whoever builds the record."""
        for name, bounds in _bounds_of(type(self)):
            value = getattr(self, name)
            if isinstance(value, int | float):
                broken = next((each for each in bounds if not _HOLDS[each[0]](value, each[1])), None)
                if broken is not None:
                    verb = self.verb()
                    raise UsageError(f"{verb}: {name} must be {BOUNDS[broken[0]]} {float(broken[1]):g}; see help({verb})")


BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
"""How people say them."""
_HOLDS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


@cache
def _bounds_of(request: type[Request]) -> tuple[tuple[str, tuple[tuple[str, float], ...]], ...]:
    """The fields of a record that have bounds, with each as a sign and a number."""
    found = []
    for name, hint in get_type_hints(request, include_extras=True).items():
        metas = [meta for each in (hint, *get_args(get_args(hint)[0])) for meta in getattr(each, "__metadata__", ())]
        bounds = [
            (sign, getattr(meta, word)) for meta in metas for word, sign in _SIGNS.items() if getattr(meta, word) is not None
        ]
        if bounds:
            found.append((name, tuple(bounds)))
    return tuple(found)
