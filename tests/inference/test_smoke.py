from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from prodml_magics.errors import GateRefused
from prodml_magics.inference.messages import pack, unpack
from prodml_magics.inference.process import Child, ChildFailed, ChildTimeout
from prodml_magics.inference.smoke import smoke_run


def test_every_batch_is_answered(doubler):
    batches = [{"x": np.full((rows, 2), rows, np.float32)} for rows in (1, 2, 5)]
    outputs = smoke_run(doubler, batches)
    assert [output["y"].shape for output in outputs] == [(1, 2), (2, 2), (5, 2)]
    np.testing.assert_array_equal(outputs[2]["y"], np.full((5, 2), 10, np.float32))


def test_an_endless_model_is_ended_at_the_deadline(endless):
    began = time.monotonic()
    with pytest.raises(GateRefused, match="still running after 3 s"):
        smoke_run(endless, [{"x": np.ones((1, 2), np.float32)}], timeout_s=3)
    assert time.monotonic() - began < 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS counts only on Linux")
def test_a_model_that_wants_16_gigabytes_is_refused(gigantic):
    with pytest.raises(GateRefused, match=r"failed its first run: .*(alloc|memory)"):
        smoke_run(gigantic, [{"x": np.ones((1, 2), np.float32)}])


def test_a_model_that_does_not_load_or_run_is_refused_in_one_line(doubler):
    with pytest.raises(GateRefused, match=r"\Athe model failed its first run: onnxruntime cannot load[^\n]*\Z"):
        smoke_run(b"junk", [])
    with pytest.raises(GateRefused, match=r"\Athe model failed its first run: onnxruntime cannot run it[^\n]*\Z"):
        smoke_run(doubler, [{"x": np.ones((1, 3, 5, 7), np.float32)}])


def test_tensors_pass_without_pickle():
    tensors = {"a": np.array([["x", ""], ["ü", "y"]], object), "b": np.arange(6.0).reshape(2, 3)[:, ::2], "c": np.array([True])}
    back = unpack(pack(tensors))
    for name, array in tensors.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a module that a child can run."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(code: str) -> str:
        (tmp_path / "infant.py").write_text(code)
        return "infant"

    return write


def test_a_crash_is_told_by_its_signal(module):
    code = "import os, sys; sys.stdin.read(); os.kill(os.getpid(), 11)"
    with Child(module(code)) as child, pytest.raises(ChildFailed, match="SIGSEGV"):
        child.ask(b"", 20)


def test_an_exception_is_told_by_its_last_line(module):
    with Child(module("raise SystemExit('no luck')")) as child, pytest.raises(ChildFailed, match="no luck"):
        child.ask(b"", 20)


def test_a_child_ends_with_its_whole_process_group(module, tmp_path):
    code = f"""
import subprocess, sys, pathlib
grandchild = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(grandchild.pid))
grandchild.wait()
"""
    with Child(module(code)) as child, pytest.raises(ChildTimeout, match="no answer within 2 s"):
        child.ask(b"", 2)
    with pytest.raises(ProcessLookupError):
        _wait_gone(int((tmp_path / "pid").read_text()))


def _wait_gone(pid: int) -> None:
    """Ask for `pid` until it is gone, which raises, or five seconds are over."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        os.kill(pid, 0)
        if Path(f"/proc/{pid}/stat").exists() and ") Z " in Path(f"/proc/{pid}/stat").read_text():
            raise ProcessLookupError  # dead, and not yet reaped by init
        os.sched_yield()


def test_ctrl_c_does_not_reach_a_child(module):
    code = "import os, sys; data = sys.stdin.read(); print(os.getpgrp(), data)"
    with Child(module(code)) as child:
        group, data = child.ask(b"hello", 20).split()
    assert data == b"hello"
    assert int(group) != os.getpgrp()
