"""A process that stands back does so before the kernel, not only by its own number."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from prodml_magics.engines import priority
from prodml_magics.engines.priority import yield_to_others


def _sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)


def test_the_process_and_its_session_stand_back() -> None:
    with _sleeper() as process:
        before = os.getpriority(os.PRIO_PROCESS, process.pid)
        yield_to_others(process.pid, 5)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(19, before + 5)
        session = Path(f"/proc/{process.pid}/autogroup")
        if session.exists():
            assert session.read_text().split()[-1] == "5", "else its own number would say nothing to other sessions"
        process.kill()


def test_one_that_stands_back_already_stands_farther_back() -> None:
    # As a user who is not root, who may raise a nice value and never lower it.
    code = (
        "import os, threading\n"
        "from prodml_magics.engines.priority import yield_to_others\n"
        "os.nice(12)\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "for _ in range(2):\n"
        "    yield_to_others(os.getpid(), 5)\n"
        "    print(os.getpriority(os.PRIO_PROCESS, 0))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, start_new_session=True)
    assert (done.stdout.split(), done.stderr) == (["17", "19"], "")


def test_a_kernel_that_wants_a_pause_is_given_one(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([BlockingIOError(), BlockingIOError(), None])
    written: list[str] = []

    def write(_path: Path, text: str) -> int:
        if (answer := next(answers)) is not None:
            raise answer
        written.append(text)
        return len(text)

    monkeypatch.setattr(Path, "write_text", write)
    monkeypatch.setattr(priority, "_KERNEL_PAUSE_SECONDS", 0.0)
    with _sleeper() as process:
        yield_to_others(process.pid, 7)
        process.kill()
    assert written == ["7"]


def test_one_that_has_ended_is_left() -> None:
    with _sleeper() as process:
        process.kill()
    yield_to_others(process.pid, 5)
    assert process.returncode == -signal.SIGKILL
