"""``prodml VERB …``."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.metadata import version
from io import StringIO
from typing import Any

import msgspec

from prodml_magics.actions import grammar, verbs
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import ProdmlError, UsageError
from prodml_magics.wire.requests import VERBS, Register, Request, Up

__all__ = ["main", "run"]

_DOOR = "cli"
_GLOBAL = ("--json", "--debug")
_MORE = "every verb also takes --json, which prints the record, and --debug, which adds the traceback to an error"
_MAGIC = re.compile(rf"(?<![\w%])%({'|'.join(VERBS)})(?![\w-])")


def run() -> None:
    """The console script."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Carry out one command line; returns the exit code."""
    flags = {word for word in arguments if word in _GLOBAL}
    words = [word for word in arguments if word not in _GLOBAL]
    try:
        return _command(words, as_json="--json" in flags)
    except ProdmlError as error:
        if "--debug" in flags:
            traceback.print_exc()
        said = in_a_terminal(str(error))
        print(said if said.startswith("prodml ") else f"prodml: {said}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("prodml: interrupted; `prodml status` tells what is in force", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def _command(words: list[str], *, as_json: bool) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"prodml {version('prodml-magics')}")
        return 0
    verb, *rest = words
    if verb not in VERBS:
        raise UsageError(f"there is no verb {verb}; {grammar.nearest_verb(verb)}")
    try:
        with redirect_stdout(StringIO()) as helped:
            request = grammar.parse(VERBS[verb], rest, prog=f"prodml {verb}", door=_DOOR, more=_MORE)
    except SystemExit:  # --help has printed
        print(in_a_terminal(helped.getvalue()), end="")
        return 0
    with Workspace.open(door=_DOOR) as workspace:
        if isinstance(request, Up) and request.foreground:
            from prodml_magics.actions.up import foreground

            foreground(workspace, request)
        _print(_run(workspace, request), as_json=as_json)
    return 0


def _run(workspace: Workspace, request: Request) -> Any:
    if not isinstance(request, Register):
        return verbs.run(workspace, request)
    from prodml_magics.views.progress import ProgressLine

    with ProgressLine(f"registering {request.name}") as progress:
        return verbs.run(workspace, request, progress=progress)


def _print(result: Any, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(result.to_dict()), indent=2).decode())
    else:
        print(in_a_terminal(str(result)))
    sys.stdout.flush()


def in_a_terminal(text: str) -> str:
    """`text` with its magics as commands: what to do next is a line that can be typed here.

    >>> in_a_terminal("put it back with %rollback cancer")
    'put it back with prodml rollback cancer'
    """
    return _MAGIC.sub(r"prodml \1", text)


def overview() -> str:
    """All verbs with what they do."""
    lines = [f"  {verb:<10} {(request.__doc__ or '').strip()}" for verb, request in VERBS.items()]
    usage = ["usage: prodml VERB … [--json] [--debug]", "       prodml VERB --help", ""]
    return "\n".join([*usage, *lines])
