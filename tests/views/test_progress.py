"""The line that says what a registration is busy with, and goes away."""

from __future__ import annotations

import io

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from prodml_magics.views.progress import ProgressLine


def shown(steps: list[str]) -> list[str]:
    InteractiveShell.instance()
    with capture_output() as captured, ProgressLine("registering cancer") as progress:
        for step in steps:
            progress(step)
    return [output.data["text/plain"] for output in captured.outputs]


def test_a_person_sees_the_step_and_at_last_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "tour.ipynb")
    assert shown(["converting and proving", "measuring"]) == [
        "registering cancer: converting and proving (1 of 4)",
        "registering cancer: measuring (2 of 4)",
        "",
    ]
    assert shown([]) == []


def test_a_notebook_that_runs_by_itself_keeps_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert shown(["measuring"]) == []


class Terminal(io.TextIOWrapper):
    """A terminal that keeps what was written to it."""

    def __init__(self, encoding: str) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding)

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("encoding", "bar"), [("utf-8", "━━╌╌"), ("ascii", "##..")])
def test_a_terminal_has_one_line_that_is_written_over_and_taken_away(
    monkeypatch: pytest.MonkeyPatch, encoding: str, bar: str
) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "70")
    terminal = Terminal(encoding)
    with ProgressLine("registering " + "long" * 20, terminal) as progress:
        progress("converting and proving")
        progress("profiling")
    _nothing, first, second, last = terminal.bytes.getvalue().decode(encoding).split("\r\x1b[K")
    assert last == ""
    assert bar in first
    assert "registering long" in second
    assert len(first) < 70
    assert len(second) < 70


def test_a_pipe_keeps_no_trace(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    with ProgressLine("registering cancer") as progress:
        progress("measuring")
    assert capsys.readouterr().err == ""
