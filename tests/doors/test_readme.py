"""What the README shows works as it stands there, and the tour runs as the demo runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A fresh home, this Python first on the path."""
    bin_folder = str(Path(sys.executable).parent)
    return os.environ | {"PRODML_HOME": str(tmp_path / ".prodml"), "PATH": f"{bin_folder}:{os.environ['PATH']}"}


@pytest.mark.timeout(240)
def test_the_python_and_terminal_blocks_run_in_order(tmp_path: Path, environment: dict[str, str]) -> None:
    (code,) = blocks("python")
    (commands,) = blocks("bash")
    try:
        ran = subprocess.run(
            [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", code],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        printed = ran.stdout.split()
        assert printed[0] == "1"
        assert float(printed[1]) > 0.9
        assert float(printed[2]) < 1e-5
        assert printed[3].endswith("/v2/models/cancer")
        for command in commands.splitlines():
            done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
    finally:
        subprocess.run(
            [sys.executable, "-m", "prodml_magics", "down"], cwd=tmp_path, env=environment, check=True, capture_output=True
        )


def test_every_magic_that_the_readme_shows_exists_with_its_flags() -> None:
    from prodml_magics.actions import grammar
    from prodml_magics.magics.words import split
    from prodml_magics.wire.requests import VERBS

    lines = [line for block in blocks("text") for line in block.splitlines() if line.startswith("%") and "load_ext" not in line]
    assert len(lines) > 6
    for line in lines:
        verb, *words = split(line.removeprefix("%"), {})
        assert grammar.parse(VERBS[verb], words, prog=verb, door="notebook").verb() == verb


@pytest.mark.timeout(300)
def test_the_demo_runs_the_tour_and_says_what_happened(tmp_path: Path, environment: dict[str, str]) -> None:
    line = [sys.executable, str(ROOT / "notebooks" / "demo.py"), str(tmp_path)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 30 inputs drifted: mean radius, worst texture" in done.stdout
    assert "0 failed" in done.stdout
    assert len(done.stdout.splitlines()) <= 12
    page = (tmp_path / "tour.html").read_text()
    assert "cancer@1 is live again" in page
    assert 'class="jp-RenderedHTMLCommon jp-RenderedText" data-mime-type="application/vnd.jupyter.stderr"' not in page
