"""How the end of a process is noticed, whoever its parent is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from prodml_magics.engines.endings import end, ended


@pytest.fixture(params=["pidfd", "looking"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to notice it: what Linux offers, and what is left elsewhere."""
    if request.param == "looking":
        monkeypatch.delattr(os, "pidfd_open", raising=False)


@pytest.mark.usefixtures("way")
def test_a_zombie_has_ended_though_nobody_has_waited_for_it() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert not ended(process.pid, 0.05)
    began = time.monotonic()
    end(process.pid, 10.0)
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE, "it was ours to wait for, and we have not"
    assert ended(process.pid, 0.0)
    assert time.monotonic() - began < 5.0, "its end was seen, its patience not used up"
    assert process.wait() == -signal.SIGTERM
    assert ended(process.pid)


def test_one_that_does_not_listen_is_killed() -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    end(process.pid, 0.1)
    assert process.wait(10) == -signal.SIGKILL
    process.stdout.close()


def test_one_that_is_gone_is_no_trouble() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    end(process.pid, 1.0)
    assert ended(process.pid)
