"""What several rooms' tests need: a real Chromium."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, sync_playwright
from ui.install_browser import present

collect_ignore = ["benchmarks/peer_servers"]
"""Scripts that run in environments of their own, beside packages that are not installed here; they hold no examples."""
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


_ALONE = ("engines/test_faults.py", "engines/test_listen.py", "engines/test_rollouts.py", "engines/test_workers.py", "ui")
"""What measures how soon services are back, or drives a browser: nothing else runs beside it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what must run alone; ``make test`` runs the rest on all cores first."""
    here = Path(__file__).parent
    for item in items:
        if any(item.path.is_relative_to(here / each) for each in _ALONE):
            item.add_marker("alone")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests counted, which their own output would not show: `record_property("counted", line)`."""
    for report in terminalreporter.getreports("passed"):
        for key, value in report.user_properties:
            if key == "counted":
                terminalreporter.write_line(str(value))


# Closed after each module: playwright's loop would stand in the way of tests that run a loop of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; a test is skipped where there is none, and fails where that is CI."""
    found = present()
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=Path(found) if found else None, args=_ARGUMENTS)
        except Error as error:
            _missing(f"no Chromium: {str(error).splitlines()[0]}; install chromium, or set PRODML_CHROMIUM to its path")
        yield browser
        browser.close()


def _missing(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(autouse=True)
def _environment_as_it_was() -> Iterator[None]:
    """MLflow writes the tracking URI that it is told into the environment, where later tests would find it."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
