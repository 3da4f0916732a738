"""Long slices are taken before the kernel, by a thread and those that it starts, and cost nothing where there are none."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading

import pytest
from kernel import LONG_SLICES, slice_of

from prodml_magics import slices
from prodml_magics.slices import take_longer_slices


def test_the_kernel_knows_of_it_and_nice_values_stay() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        os.setpriority(os.PRIO_PROCESS, process.pid, 7)
        assert take_longer_slices(process.pid) == LONG_SLICES
        if LONG_SLICES:
            assert slice_of(process.pid) == 2 * slice_of()
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 7
        process.kill()
    assert not take_longer_slices(process.pid), "one that has ended is left"


def test_threads_inherit_it_and_siblings_do_not() -> None:
    found: dict[str, list[int]] = {}

    def work() -> None:
        assert take_longer_slices() == LONG_SLICES
        child = threading.Thread(target=lambda: found.setdefault("child", [threading.get_native_id(), slice_of()]))
        child.start()
        child.join()
        found["own"] = [threading.get_native_id(), slice_of()]

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found["child"][1] == found["own"][1]
    if LONG_SLICES:
        assert found["own"][1] == 2 * slice_of()


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Windows", "AMD64"), ("Linux", "riscv64")])
def test_elsewhere_nothing_is_called(monkeypatch: pytest.MonkeyPatch, system: str, machine: str) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(slices.ctypes, "CDLL", lambda _: pytest.fail("the C library was asked"))
    assert not take_longer_slices()


def test_an_older_kernel_keeps_its_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    if platform.system() != "Linux" or platform.machine() not in slices._CALLS:
        return
    calls: list[int] = []

    class Library:
        def syscall(self, number: int, *_: object) -> int:  # leaves every attribute 0, as before Linux 6.12
            calls.append(number)
            return 0

    monkeypatch.setattr(slices.ctypes, "CDLL", lambda _: Library())
    assert not take_longer_slices()
    assert len(calls) == 1, "it only asks"
