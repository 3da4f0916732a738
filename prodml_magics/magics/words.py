"""What stands behind a magic's name, as words: POSIX quoting, trailing comments, ``{expr}`` from the notebook's namespace."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Mapping
from typing import Any

from prodml_magics.errors import UsageError

__all__ = ["lookup", "split"]

_BRACED = re.compile(r"\{([^{}]+)\}")
_FILES = (".onnx", ".joblib", ".pkl", ".parquet", ".csv", ".arrow", ".feather")


def split(line: str, namespace: Mapping[str, Any]) -> list[str]:
    """The words of `line`; `UsageError` for an open quote or an unknown ``{name}``."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        raise UsageError(f"the line cannot be read ({str(error).lower()}); close the quote") from error
    return [_BRACED.sub(lambda match: str(_evaluate(match[1], namespace)), word) for word in words]


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
        return eval(expression, {}, dict(namespace))
    except NameError as error:
        raise UsageError(_unknown(error.name or expression, namespace)) from error
    except Exception as error:
        raise UsageError(f"{expression} cannot be evaluated ({type(error).__name__}: {error})") from error


def _unknown(name: str, namespace: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, [each for each in namespace if not each.startswith("_")], 1, 0.6)
    hint = f"did you mean {close[0]}?" if close else "run the cell that defines it first"
    return f"there is no {name} in this notebook; {hint}"
