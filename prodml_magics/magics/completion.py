"""Tab completion: verbs, flags, choices, and the names of models and versions that exist now."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from prodml_magics.actions import grammar
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import ProdmlError
from prodml_magics.wire.names import ALIASES
from prodml_magics.wire.requests import VERBS

__all__ = ["candidates", "matcher"]

_LINE = re.compile(r"\s*(?:[\w, ]+=\s*)?%(\w+)(\s.*)?\Z")


def matcher() -> Callable[[Any], dict[str, Any]]:
    """A matcher for IPython's completer; silent on lines that are not ours."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    @context_matcher()
    def prodml_matcher(context: Any) -> dict[str, Any]:
        line = (
            context.line_with_cursor[: context.cursor_position]
            if hasattr(context, "cursor_position")
            else context.line_with_cursor
        )
        with Workspace.open() as workspace:
            found = candidates(line, workspace)
        if found is None:
            return {"completions": []}
        return {"completions": [SimpleCompletion(text=text, type="magic") for text in found], "suppress": True}

    prodml_matcher.prodml = True
    return prodml_matcher


def candidates(line: str, workspace: Workspace) -> list[str] | None:
    """What can stand at the end of `line`; none when the line is no magic of ours, or an object is meant."""
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
    return _of_verb(verb, words, token, workspace)


def _of_verb(verb: str, words: list[str], token: str, workspace: Workspace) -> list[str] | None:
    fields = {field.flag: field for field in grammar.fields_of(VERBS[verb], "notebook") if not field.positional}
    if token.startswith("-"):
        return _starting([*fields, "--help"], token)
    before = fields.get(words[-1]) if words else None
    if before is not None and before.choices:
        return _starting(before.choices, token)
    if before is not None and before.completes:
        return _starting(_models(workspace), token)
    if before is not None and before.kind is not bool:
        return None
    return _starting(_positional(verb, workspace), token) or None


def _positional(verb: str, workspace: Workspace) -> list[str]:
    kinds = {field.completes for field in grammar.fields_of(VERBS[verb]) if field.positional}
    if "version" in kinds:
        return _versions(workspace)
    return _models(workspace) if "model" in kinds else []


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
