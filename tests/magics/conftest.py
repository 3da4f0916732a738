"""Real IPython shells around temporary homes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from homes import add_version, go_live, workspace_at
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from IPython.utils.capture import RichOutput, capture_output
from traitlets.config import Config

from prodml_magics.actions.workspace import Workspace


@dataclass
class Ran:
    """A cell with what it returned, raised and showed."""

    result: ExecutionResult
    out: str
    displays: list[RichOutput]

    @property
    def value(self) -> Any:
        assert self.result.success, self.out
        return self.result.result

    @property
    def error(self) -> BaseException:
        assert self.result.error_in_exec is not None, self.out
        return self.result.error_in_exec


class Notebook:
    """A shell in which cells are run as a person runs them."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.names: dict[str, Any] = shell.user_ns

    def run(self, *lines: str) -> Ran:
        with capture_output() as captured:
            result = self.shell.run_cell("\n".join(lines), store_history=True)
        return Ran(result, captured.stdout + captured.stderr, captured.outputs)

    def complete(self, line: str) -> list[str]:
        from IPython.core.completer import provisionalcompleter

        with provisionalcompleter():
            return [each.text for each in self.shell.Completer.completions(line, len(line))]


@pytest.fixture
def new_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Notebook]]:
    """Makes shells without history on disk; the last one made is the current one."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"

    def make() -> Notebook:
        InteractiveShell.clear_instance()
        return Notebook(InteractiveShell.instance(config=config))

    yield make
    InteractiveShell.clear_instance()


@pytest.fixture
def notebook(new_notebook: Callable[[], Notebook], home: Path, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    """A shell with the extension loaded, in a home with cancer@2 live and cancer@1 previous, while nothing runs."""
    monkeypatch.setenv("PRODML_HOME", str(home))
    found = new_notebook()
    found.run("%load_ext prodml_magics")
    return found


@pytest.fixture(scope="session")
def filled_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = workspace_at(tmp_path_factory.mktemp("magics") / ".prodml")
    for version, c in ((1, 1.0), (2, 0.01)):
        add_version(workspace, version, c=c)
        go_live(workspace, version)
    workspace.close()
    return workspace.home


@pytest.fixture
def home(filled_home: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(filled_home, tmp_path / ".prodml"))


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    with workspace_at(home) as found:
        yield found
