"""Tab completion: verbs, flags, choices, and the names of models and versions that exist now."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

from prodml_magics.actions import grammar
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import ProdmlError
from prodml_magics.wire.names import ALIASES
from prodml_magics.wire.requests import VERBS

__all__ = ["candidates", "matcher"]

_SHELL = ("In", "Out", "exit", "quit", "open", "get_ipython")
_LINE = re.compile(r"\s*(?:[\w, ]+=\s*)?%(\w+)(\s.*)?\Z")


def matcher(shell: Any) -> Callable[[Any], dict[str, Any]]:
    """A matcher for the completer of `shell`; silent on lines that are not ours."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    @context_matcher()
    def prodml_matcher(context: Any) -> dict[str, Any]:
        with Workspace.open() as workspace:
            found = candidates(context.text_until_cursor, workspace, _objects(shell.user_ns))
        if found is None:
            return {"completions": []}
        return {"completions": [SimpleCompletion(text=text, type="magic") for text in found], "suppress": True}

    prodml_matcher.prodml = True
    return prodml_matcher


def _objects(namespace: Mapping[str, Any]) -> list[str]:
    """Names that the notebook gave to objects: what a model or a frame may be called."""
    return [
        name for name, value in namespace.items() if name[:1] != "_" and name not in _SHELL and not isinstance(value, ModuleType)
    ]


def candidates(line: str, workspace: Workspace, objects: Sequence[str] = ()) -> list[str] | None:
    """What can stand at the end of `line`, `objects` where one is meant; none when the line is no magic of ours, or text is meant."""
    match = _LINE.match(line)
    if not match or match[2] is None:
        return None
    words = match[2].split()
    token = "" if match[2].endswith(" ") or not words else words.pop()
    verb = match[1]
    if verb == "prodml":
        if not words:
            return _starting(VERBS, token)
        verb = words.pop(0)
    if verb not in VERBS:
        return None
    return _of_verb(verb, words, token, workspace, objects)


def _of_verb(verb: str, words: list[str], token: str, workspace: Workspace, objects: Sequence[str]) -> list[str] | None:
    fields = grammar.fields_of(VERBS[verb], "notebook")
    flags = {field.flag: field for field in fields if not field.positional}
    if token.startswith("-"):
        return _starting([*flags, "--help"], token)
    open_flag = _open_flag(flags, words)
    if open_flag is None:
        offered = [word for field in fields if field.positional for word in _offered(field, workspace, objects)]
    else:
        offered = _offered(open_flag, workspace, objects)
    return _starting(dict.fromkeys(offered), token) or None


def _open_flag(flags: Mapping[str, grammar.Field], words: Sequence[str]) -> grammar.Field | None:
    """The flag whose value is being typed."""
    for count, word in enumerate(reversed(words)):
        field = flags.get(word)
        if field is not None:
            takes = 0 if field.kind is bool else (field.most or count + 1) if field.many else 1
            return field if count < takes else None
    return None


def _offered(field: grammar.Field, workspace: Workspace, objects: Sequence[str]) -> list[str]:
    names = {"model": _models, "version": _versions}
    known = names[field.completes](workspace) if field.completes else []
    return [*field.choices, *known, *(objects if field.reference else ())]


def _models(workspace: Workspace) -> list[str]:
    try:
        return sorted({event.model for event in workspace.ledger.events()}) if workspace.has_ledger() else []
    except ProdmlError:
        return []


def _versions(workspace: Workspace) -> list[str]:
    found: list[str] = []
    for model in _models(workspace):
        numbers = [f"{model}@{version}" for version in workspace.versions(model)]
        found += [model, *numbers, *(f"{model}@{alias}" for alias in ALIASES)]
    return found


def _starting(words: Iterable[str], token: str) -> list[str]:
    return [word for word in words if word.startswith(token)]
