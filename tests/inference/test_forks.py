from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from prodml_magics.inference.forks import Forks
from prodml_magics.inference.process import ChildFailed, ChildTimeout

_CODE = """
import os, resource, sys, time
from prodml_magics.inference.forked import answer_each

told = []

def answer(message, note):
    told.append(message)
    if message == b"crash":
        os.kill(os.getpid(), 11)
    if message == b"throw":
        print("some noise")
        raise ValueError("no luck")
    if message == b"hang":
        time.sleep(600)
    if message == b"work":
        for step in ("first", "second"):
            note(step)
            time.sleep(0.2)
        time.sleep(600)
    if message == b"chat":
        for _ in range(1000):
            note("on and on")
            time.sleep(0.01)
    return b"%d %d " % (len(told), os.getppid()) + message

answer_each(answer)
"""


@pytest.fixture
def forks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "answering.py").write_text(_CODE)
    with Forks("answering") as found:
        yield found


def test_every_message_is_answered_by_a_fork_that_knows_of_no_other(forks):
    first, second = (forks.ask(b"x" * size, 20).split() for size in (3, 2_000_000))
    assert first[0] == second[0] == b"1", "each fork has heard one message"
    assert first[1] == second[1], "of one process, which stays"
    assert len(second[2]) == 2_000_000


def test_what_breaks_a_fork_is_told_and_breaks_nothing_else(forks):
    before = forks.ask(b"a", 20).split()[1]
    with pytest.raises(ChildFailed, match=r"\AValueError: no luck\Z"):
        forks.ask(b"throw", 20)
    with pytest.raises(ChildFailed, match="SIGSEGV"):
        forks.ask(b"crash", 20)
    assert forks.ask(b"b", 20).split()[1] == before


def test_a_deadline_tells_what_was_noted_last_and_notes_do_not_move_it(forks):
    forks.ask(b"a", 20)
    with pytest.raises(ChildTimeout) as caught:
        forks.ask(b"work", 0.8)
    assert caught.value.at == "second"
    forks.ask(b"a", 20)
    began = time.monotonic()
    with pytest.raises(ChildTimeout) as caught:
        forks.ask(b"chat", 0.5)
    assert caught.value.at == "on and on"
    assert time.monotonic() - began < 5


def test_a_fork_that_hangs_is_ended_with_its_process_and_another_answers(forks):
    before = int(forks.ask(b"a", 20).split()[1])
    process = psutil.Process(before)
    with pytest.raises(ChildTimeout, match=r"no answer within 0\.3 s"):
        forks.ask(b"hang", 0.3)
    assert not process.is_running()
    assert int(forks.ask(b"b", 20).split()[1]) != before


def test_two_threads_are_answered_at_once_and_closing_ends_both(forks):
    forks.ask(b"a", 20)
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            forks.ask(b"hang", 60)
        except ChildFailed as error:
            failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    _wait(lambda: len(_forking()) == 2 and all(process.children() for process in _forking()))
    forks.close()
    for thread in threads:
        thread.join(10)
    assert len(failed) == 2
    assert "SIGKILL" in str(failed[0])
    assert not _forking()


def test_a_module_that_cannot_start_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "broken.py").write_text("import nonsense_that_is_not_there")
    with Forks("broken") as forks, pytest.raises(ChildFailed, match="No module named 'nonsense_that_is_not_there'"):
        forks.ask(b"", 20)


def test_a_fork_of_whoever_asked_leaves_the_processes_alone(forks):
    """In a process without threads, since forks of others may hang."""
    code = """
import os
from prodml_magics.inference.forks import Forks

with Forks("answering") as forks:
    before = forks.ask(b"a", 20).split()[1]
    child = os.fork()
    if child == 0:
        forks.close()
        os._exit(0)
    os.waitpid(child, 0)
    print(forks.ask(b"b", 20).split()[1] == before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "True\n", done.stderr


def _forking() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if "answering" in each.cmdline()]


def _wait(condition) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
