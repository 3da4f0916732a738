"""What stands behind a magic's name, as words: POSIX quoting, trailing comments, ``{expr}`` from the notebook's namespace."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Mapping
from typing import Any

from prodml_magics.errors import UsageError

__all__ = ["lookup", "split"]

_BRACED = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")
_MARK = re.compile("\ue000(\\d+)\ue001")
_BEFORE_COMMENT = re.compile(r"""(?:[^\s\\"'#]|\\.|"(?:\\.|[^"\\])*"|'[^']*'|(?<=\S)\#|\s)*""", re.VERBOSE)
_FILES = (".onnx", ".joblib", ".pkl", ".parquet", ".csv", ".arrow", ".feather")


def split(line: str, namespace: Mapping[str, Any]) -> list[str]:
    """The words of `line`; ``{expr}`` stays within its word whatever it holds, ``{{`` and ``}}`` are braces.

    Raises `UsageError` for an open quote or an unknown ``{name}``.
    """
    braced: list[re.Match[str]] = []

    def mark(match: re.Match[str]) -> str:
        braced.append(match)
        return f"\ue000{len(braced) - 1}\ue001"

    def expand(match: re.Match[str]) -> str:
        found = braced[int(match[1])]
        return found[0][0] if found[1] is None else str(_evaluate(found[1].strip(), namespace))

    # Expressions are set aside first: their own spaces, quotes and hashes are Python's, not the line's.
    marked = _BRACED.sub(mark, line)
    try:
        words = shlex.split(_without_comment(marked))
    except ValueError as error:
        raise UsageError(f"the line cannot be read ({str(error).lower()}); close the quote") from error
    return [_MARK.sub(expand, word) for word in words]


def _without_comment(line: str) -> str:
    """`line` up to a ``#`` that begins a word, as in a shell; shlex would cut ``issue#12`` as well."""
    match = _BEFORE_COMMENT.match(line)
    end = match.end() if match else 0
    return line[:end] if line[end : end + 1] == "#" else line


def lookup(word: str, namespace: Mapping[str, Any]) -> Any:
    """The object that `word` names in the notebook, or `word` itself when it is a file."""
    if word in namespace:
        return namespace[word]
    if word.lower().endswith(_FILES):
        return word
    return _evaluate(word, namespace)


def _evaluate(expression: str, namespace: Mapping[str, Any]) -> Any:
    try:
        # The line was typed into this very kernel, where its author can run anything.
        return eval(expression, dict(namespace))
    except NameError as error:
        raise UsageError(_unknown(error.name or expression, namespace)) from error
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"{expression} cannot be evaluated ({reason[:200]}); try it in a cell of its own") from error


def _unknown(name: str, namespace: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, [each for each in namespace if not each.startswith("_")], 1, 0.6)
    hint = f"did you mean {close[0]}?" if close else "run the cell that defines it first"
    return f"there is no {name} in this notebook; {hint}"
