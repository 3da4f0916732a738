"""The line that says what a registration is busy with, and goes away."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from prodml_magics.magics.progress import ProgressLine


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
