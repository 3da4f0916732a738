"""``prodml VERB …``."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from prodml_magics.actions import grammar, verbs
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import ProdmlError, UsageError
from prodml_magics.wire.requests import VERBS, Register, Request, Up

__all__ = ["main", "run"]

_DOOR = "cli"
_GLOBAL = ("--json", "--debug")


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
        said = str(error)
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
        request = grammar.parse(VERBS[verb], rest, prog=f"prodml {verb}", door=_DOOR)
    except SystemExit:  # --help has printed
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
        print(result)
    sys.stdout.flush()


def overview() -> str:
    """All verbs with what they do."""
    lines = [f"  {verb:<10} {(request.__doc__ or '').strip()}" for verb, request in VERBS.items()]
    usage = ["usage: prodml VERB … [--json] [--debug]", "       prodml VERB --help", ""]
    return "\n".join([*usage, *lines])
