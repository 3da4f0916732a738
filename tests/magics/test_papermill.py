"""A scheduled notebook: a magic that refuses fails the run, with its one line as the error output."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

PAPERMILL = [sys.executable, "-m", "papermill", "--no-progress-bar", "--kernel", "python3"]


def test_a_failing_magic_fails_the_run_with_one_line(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [
        "%load_ext prodml_magics",
        "found = %timeline cancer\nlen(found.entries)",
        "%rollback cancre",
        "print('not reached')",
    ]
    source = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    source.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(source, tmp_path / "in.ipynb")
    monkeypatch.setenv("PRODML_HOME", str(home))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    done = subprocess.run([*PAPERMILL, "in.ipynb", "out.ipynb"], cwd=tmp_path, capture_output=True, text=True, check=False)
    said = "cancre is not deployed; there is nothing to roll back"
    assert done.returncode != 0 and f"InvalidInput: {said}" in done.stderr
    ran = [
        cell
        for cell in nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
        if "tags" not in cell.metadata or not cell.metadata.tags
    ]
    outputs = {cell.source: cell.outputs for cell in ran if cell.cell_type == "code"}
    assert outputs[cells[1]][0].data["text/plain"] == "4"
    assert outputs[cells[2]] == [new_output("error", ename="InvalidInput", evalue=said, traceback=[f"InvalidInput: {said}"])]
    assert outputs[cells[3]] == []
