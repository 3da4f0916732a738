"""A model in a process of its own: it may throw, hang or die, and the caller goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from homes import wait_for

from prodml_magics.contract.schema import Column, Contract, Tensor, write_contract
from prodml_magics.errors import DeadlineExceeded, GateRefused, ModelFailure, Unavailable
from prodml_magics.inference.isolated import IsolatedSession, RunRefused

MODULE = "prodml_magics.registry.trusted"
CONTRACT = write_contract(
    Contract(
        task="regression",
        columns=(Column(name="x", kind="numeric", dtype="float64"),),
        inputs=(Tensor(name="input", datatype="FP64", shape=(-1, 1)),),
        outputs=(Tensor(name="prediction", datatype="FP64", shape=(-1,)),),
    )
)


def act(frame):
    """Doubles x; -1 throws, -2 hangs, -3 kills its process, -4 prints and reads stdin."""
    import os
    import sys
    import time

    first = frame["x"][0]
    if first == -1:
        raise ValueError("x must not be -1")
    if first == -2:
        time.sleep(600)
    if first == -3:
        os.kill(os.getpid(), 11)
    if first == -4:
        print("printed by the model")
        sys.stdin.read()
    return frame["x"] * 2


def bundle(function=act) -> bytes:
    import polars

    parts = {"format": 1, "kind": "callable", "model": function, "task": "regression", "like": polars.DataFrame(), "outputs": ()}
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        return cloudpickle.dumps(parts)
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def rows(*values: float) -> dict[str, np.ndarray]:
    return {"input": np.array(values)[:, None]}


@pytest.fixture(scope="module")
def session():
    with closing(IsolatedSession(MODULE, bundle(), CONTRACT, run_seconds=1.0)) as opened:
        yield opened


def is_gone(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_it_answers_from_another_process(session):
    assert session.run(rows(1.5, 2.5))["prediction"].tolist() == [3.0, 5.0]
    assert session.pid != os.getpid()
    assert session.isolated


def test_what_it_throws_is_reported_and_it_goes_on(session):
    pid = session.pid
    with pytest.raises(RunRefused, match="ValueError: x must not be -1"):
        session.run(rows(-1))
    assert session.run(rows(1))["prediction"].tolist() == [2.0]
    assert session.pid == pid


def test_prints_and_reads_of_the_model_disturb_nothing(session):
    assert session.run(rows(-4))["prediction"].tolist() == [-8.0]


def test_one_that_hangs_is_ended_at_the_deadline_and_started_anew(session):
    pid = session.pid
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="busy after 1 s"):
        session.run(rows(-2))
    assert time.monotonic() - started < 5
    assert is_gone(pid)
    assert session.run(rows(4))["prediction"].tolist() == [8.0]
    assert session.pid != pid


def test_one_that_dies_is_started_anew_and_after_pauses_when_it_goes_on_dying():
    clock = Clock()
    with closing(IsolatedSession(MODULE, bundle(), CONTRACT, monotonic=clock)) as session:
        with pytest.raises(ModelFailure, match="SIGSEGV"):
            session.run(rows(-3))
        assert session.run(rows(1))["prediction"].tolist() == [2.0]
        with pytest.raises(ModelFailure):
            session.run(rows(-3))
        with pytest.raises(Unavailable, match=r"died 2 times and is started again in 0\.5 s"):
            session.run(rows(1))
        clock.now += 0.5
        assert session.run(rows(1))["prediction"].tolist() == [2.0]


def test_what_cannot_be_loaded_is_refused_and_leaves_no_process():
    with pytest.raises(GateRefused, match="cannot be loaded: UnpicklingError"):
        IsolatedSession(MODULE, b"no pickle at all", CONTRACT)


def test_a_module_that_ends_at_once_is_refused():
    with pytest.raises(GateRefused, match=r"cannot be loaded: its process died \(it ended with exit code 1\)"):
        IsolatedSession("prodml_magics.nowhere", b"", CONTRACT, quiet=True)


def test_closing_ends_the_process_and_refuses_more():
    session = IsolatedSession(MODULE, bundle(), CONTRACT)
    pid = session.pid
    session.close()
    assert is_gone(pid)
    with pytest.raises(Unavailable, match="unloaded"):
        session.run(rows(1))


def test_it_dies_with_a_parent_that_was_killed_even_in_the_middle_of_a_run(tmp_path):
    (tmp_path / "bundle").write_bytes(bundle())
    (tmp_path / "contract").write_bytes(CONTRACT)
    script = (
        "import sys, threading; from pathlib import Path; import numpy as np\n"
        "from prodml_magics.inference.isolated import IsolatedSession\n"
        f"folder = Path({str(tmp_path)!r})\n"
        f"s = IsolatedSession({MODULE!r}, (folder / 'bundle').read_bytes(), (folder / 'contract').read_bytes())\n"
        "print(s.pid, flush=True)\n"
        "s.run({'input': np.array([[-2.0]])})\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    wait_for(lambda: is_gone(pid), 5)
