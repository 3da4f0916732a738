"""``%load_ext prodml_magics``: registers the magics and their completions; loads nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prodml_magics.actions import grammar, verbs
from prodml_magics.actions.origin import cell_of
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import ProdmlError, UsageError
from prodml_magics.magics.completion import matcher
from prodml_magics.magics.words import lookup, split
from prodml_magics.wire.requests import VERBS, Register

__all__ = ["load"]

_DOOR = "notebook"


def load(shell: Any) -> None:
    """Register ``%prodml`` and one magic per verb; a name that the user's own magic already bears stays theirs."""
    taken = shell.magics_manager.magics["line"]
    for verb in VERBS:
        if verb not in taken or getattr(taken[verb], "prodml", False):
            shell.register_magic_function(_magic(shell, verb), "line", verb)
    shell.register_magic_function(_any_verb(shell), "line", "prodml")
    _add_completions(shell)


def _add_completions(shell: Any) -> None:
    completer = getattr(shell, "Completer", None)
    if completer is None:
        return
    completer.custom_matchers = [each for each in completer.custom_matchers if not getattr(each, "prodml", False)]
    completer.custom_matchers.append(matcher(shell))


def _magic(shell: Any, verb: str) -> Callable[[str], Any]:
    return _marked(_Magic(lambda line: _told(lambda: _run(shell, verb, f"%{verb}", _words(shell, line)), line), verb))


class _Magic:
    def __init__(self, run: Callable[[str], Any], verb: str) -> None:
        self._run = run
        self._verb = verb

    def __call__(self, line: str) -> Any:
        return self._run(line)

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        """What ``%drift?`` shows: the same as ``%drift --help``, made when it is asked for."""
        return grammar.parser_of(VERBS[self._verb], f"%{self._verb}", _DOOR).format_help()


def _any_verb(shell: Any) -> Callable[[str], Any]:
    def magic(line: str) -> Any:
        """Run any verb: %prodml VERB …; %prodml --help lists them."""
        return _told(lambda: _run_any(shell, _words(shell, line)), line)

    return _marked(magic)


def _marked(magic: Callable[[str], Any]) -> Callable[[str], Any]:
    from IPython.core.magic import no_var_expand

    no_var_expand(magic)  # IPython leaves unknown {names} as text; `split` refuses them
    magic.prodml = True  # type: ignore[attr-defined]
    return magic


def _run_any(shell: Any, words: list[str]) -> Any:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return None
    verb, *rest = words
    if verb not in VERBS:
        raise UsageError(f"there is no verb {verb}; {grammar.nearest_verb(verb)}")
    return _run(shell, verb, f"%prodml {verb}", rest)


def overview() -> str:
    """All verbs with what they do."""
    lines = [f"  %{verb:<10} {(request.__doc__ or '').strip()}" for verb, request in VERBS.items()]
    return "\n".join(["%VERB …, or %prodml VERB …; %VERB --help tells its flags", "", *lines])


def _run(shell: Any, verb: str, prog: str, words: list[str]) -> Any:
    names = shell.user_ns
    try:
        request = grammar.parse(VERBS[verb], words, prog=prog, door=_DOOR, resolve=lambda word: lookup(word, names))
    except SystemExit:  # --help has printed
        return None
    with Workspace.open(door=_DOOR, cell=cell_of(shell)) as workspace:
        if isinstance(request, Register):
            from prodml_magics.views.progress import ProgressLine

            cells = tuple(names.get("In", ()))[1:]
            with ProgressLine(f"registering {request.name}") as progress:
                return verbs.run(workspace, request, cells=cells, progress=progress)
        return verbs.run(workspace, request)


def _words(shell: Any, line: str) -> list[str]:
    return [word for word in split(line, shell.user_ns) if word != "--debug"]


def _told(call: Callable[[], Any], line: str) -> Any:
    """Run `call`; a known error shows as its message alone, and still fails the cell and a papermill run."""
    try:
        return call()
    except ProdmlError as error:
        if "--debug" not in line.split():
            shown = [f"{type(error).__name__}: {error}"]
            error._render_traceback_ = lambda: shown  # type: ignore[attr-defined]
        raise
