"""From request records to an argument parser and back: magics and CLI read the same words.

Everything is derived from the records of `prodml_magics.wire.requests`; nothing about a verb is written here.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NoReturn, get_args, get_origin, get_type_hints

import msgspec

from prodml_magics.errors import UsageError
from prodml_magics.wire.requests import BOUNDS, VERBS, Request

__all__ = ["Field", "fields_of", "nearest_verb", "parse", "parser_of"]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a request as people type it."""

    name: str
    help: str
    metavar: str
    kind: type
    choices: tuple[str, ...] = ()
    positional: bool = False
    required: bool = False
    many: bool = False
    most: int | None = None
    reference: bool = False
    beside: str = ""
    """The field without which this one is a name, not an object: a lone ``%drift cancer`` means the model."""
    completes: str = ""
    """``model`` or ``version``: what completion offers for it."""
    doors: tuple[str, ...] = ()
    default: str = ""
    """As it would be typed; empty where nothing stands for it."""

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


def fields_of(request: type[Request], door: str = "") -> list[Field]:
    """The fields of a request record in order; those that `door` does not offer are left out."""
    hints = get_type_hints(request, include_extras=True)
    fields = [_field(each.name, hints[each.name], each.required, each.default) for each in msgspec.structs.fields(request)]
    return [field for field in fields if not field.doors or not door or door in field.doors]


def _field(name: str, hint: Any, required: bool, default: Any) -> Field:
    inner, *metas = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    extra: dict[str, Any] = {}
    described = ""
    for meta in metas:
        extra |= meta.extra or {}
        described = meta.description or described
    kind, choices, many = _shape(inner)
    return Field(
        name=name,
        help=described,
        metavar=extra.get("metavar", ""),
        kind=kind,
        choices=choices,
        positional=extra.get("positional", False),
        required=required,
        many=many,
        most=extra.get("most"),
        reference=extra.get("reference", False),
        beside=extra.get("beside", ""),
        completes=extra.get("completes", ""),
        doors=extra.get("doors", ()),
        default=f"{default:g}" if type(default) in (int, float) else default if isinstance(default, str) else "",
    )


def _shape(inner: Any) -> tuple[type, tuple[str, ...], bool]:
    """The type of one value, its choices, and whether several are taken."""
    if get_origin(inner) is Literal:
        return str, get_args(inner), False
    if get_origin(inner) is tuple:
        return str, (), True
    options = [each for each in get_args(inner) if each is not type(None)]
    if options:
        first = options[0]
        if get_origin(first) is Literal:
            return str, get_args(first), False
        return (get_args(first)[0] if get_origin(first) is Annotated else first), (), False
    return (inner if inner in (bool, int, float, str) else str), (), False


class _Parser(argparse.ArgumentParser):
    """Raises instead of leaving the process, and knows the nearest flag."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}; see {self.prog} --help")

    def parse_all(self, words: Sequence[str]) -> argparse.Namespace:
        found, rest = self.parse_known_args(list(words))
        if rest:
            self.error(f"{self._unknown(rest[0])}")
        return found

    def _unknown(self, word: str) -> str:
        flags = [flag for action in self._actions for flag in action.option_strings]
        close = difflib.get_close_matches(word.split("=")[0], flags, 1, 0.6)
        kind = "flag" if word.startswith("-") else "argument"
        return f"unknown {kind} {word}" + (f", did you mean {close[0]}?" if close else "")


def parser_of(request: type[Request], prog: str, door: str, more: str = "") -> argparse.ArgumentParser:
    """The parser of one verb; ``-h`` prints help with `more` below it and raises ``SystemExit``, errors raise `UsageError`."""
    parser = _Parser(prog=prog, description=request.__doc__, epilog=more or None, allow_abbrev=False)
    for field in fields_of(request, door):
        parser.add_argument(*_names(field), **_options(field))
    return parser


def _names(field: Field) -> tuple[str, ...]:
    return (field.name,) if field.positional else (field.flag,)


def _options(field: Field) -> dict[str, Any]:
    options: dict[str, Any] = {"help": _help(field), "default": argparse.SUPPRESS}
    if field.kind is bool:
        return {**options, "action": "store_true"}
    if field.choices:
        options["choices"] = field.choices
    else:
        options["metavar"] = _metavar(field)
        options["type"] = _reader(field)
    if field.many:
        # A flag that is given twice takes what both say; argparse would let the latter stand alone.
        options |= {"nargs": "+", "action": "extend"}
    elif field.positional and not field.required:
        options["nargs"] = "?"
    if field.required and not field.positional:
        options["required"] = True
    return options


def _help(field: Field) -> str:
    told = not field.default or "default" in field.help
    return (field.help if told else f"{field.help} (default: {field.default})").replace("%", "%%")


def _metavar(field: Field) -> str | tuple[str, ...]:
    words = tuple(word.strip("[]") for word in field.metavar.split())
    if field.many:
        return (words[0], words[-1]) if len(words) > 1 else (words[0], words[0])
    return field.metavar or field.name.upper()


def _reader(field: Field) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        # argparse reads the default of an optional positional as if it had been typed
        return text if text is argparse.SUPPRESS else field.kind(text)

    read.__name__ = {int: "whole number", float: "number"}.get(field.kind, "text")
    return read


def parse(
    request: type[Request],
    words: Sequence[str],
    *,
    prog: str,
    door: str,
    resolve: Callable[[str], Any] | None = None,
    more: str = "",
) -> Request:
    """Read `words` into a request; `resolve` turns the word of a reference into the object that it names, `more` ends the help."""
    parser = parser_of(request, prog, door, more)
    assert isinstance(parser, _Parser)
    values: dict[str, Any] = vars(parser.parse_all(words))
    for field in fields_of(request, door):
        if field.name not in values:
            continue
        value = values[field.name]
        if field.most is not None and len(value) > field.most:
            parser.error(f"{field.flag} takes at most {field.most} values, {len(value)} were given")
        if _means_nothing(field, value):
            parser.error(f"{field.flag} is empty; give {field.metavar or 'a value'}, or leave it out")
        if field.reference and resolve is not None and (not field.beside or field.beside in values):
            values[field.name] = [resolve(word) for word in value] if field.many else resolve(value)
        if field.many:
            values[field.name] = tuple(values[field.name])
    return build(request, values, parser)


def _means_nothing(field: Field, value: Any) -> bool:
    """Whether what was typed is blank and would silently be the default; a reason may be."""
    flag = field.kind is str and not field.positional and not field.many and not field.choices
    return flag and not field.reference and not value.strip() and not field.default and field.name not in _MAY_BE_BLANK


_MAY_BE_BLANK = ("why", "canary")
"""A ladder without steps is refused where it is read."""


def build(request: type[Request], values: Mapping[str, Any], parser: argparse.ArgumentParser | None = None) -> Request:
    """A checked request from plain values; what breaks a bound of its record is a `UsageError`."""
    references = {field.name for field in fields_of(request) if field.reference}
    many = {field.name for field in fields_of(request) if field.many}
    alone = {name: (value,) for name, value in values.items() if name in many and isinstance(value, str)}
    plain = {name: value for name, value in {**values, **alone}.items() if name not in references}
    missing = {field.name: None for field in fields_of(request) if field.name in references and field.required}
    try:
        checked = msgspec.convert({**missing, **plain}, type=request, strict=True)
    except msgspec.ValidationError as error:
        where, see = (parser.prog, f"see {parser.prog} --help") if parser else (request.verb(), f"see help({request.verb()})")
        raise UsageError(f"{where}: {_reason(error, request, parser is not None)}; {see}") from error
    given = {name: value for name, value in values.items() if name in references}
    return msgspec.structs.replace(checked, **given)


_BOUND = re.compile(r"Expected `(?:int|float)(?: \| null)?` (>=|<=|>|<) (\S+)\Z")


def _reason(error: msgspec.ValidationError, request: type[Request], typed: bool) -> str:
    """What msgspec found, in the words of the person who typed it."""
    said, at, path = str(error).partition(" - at `$.")
    if not at:
        return said
    name = re.split(r"\W", path)[0]
    field = next(field for field in fields_of(request) if field.name == name)
    shown = name if not typed else field.metavar or name if field.positional else field.flag
    bound = _BOUND.match(said)
    return f"{shown} must be {BOUNDS[bound[1]]} {float(bound[2]):g}" if bound else f"{shown}: {said}"


def nearest_verb(word: str) -> str:
    """A hint for a verb that does not exist."""
    close = difflib.get_close_matches(word, VERBS, 1, 0.5)
    return f"did you mean {close[0]}?" if close else f"verbs are {', '.join(VERBS)}"
