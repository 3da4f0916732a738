from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import EPFail

from prodml_magics.errors import GateRefused, InvalidInput, Unavailable
from prodml_magics.inference.providers import CPU, CUDA, missing_for_gpu
from prodml_magics.inference.session import Session, _load, open_session

ROWS = np.array([[1, 2], [3, 4]], np.float32)


def test_a_session_answers_by_name_and_says_where_it_runs(doubler):
    session = open_session(doubler, device="cpu")
    assert (session.device, session.providers) == ("cpu", (CPU,))
    assert (session.input_names, session.output_names) == (("x",), ("y",))
    np.testing.assert_array_equal(session.run({"x": ROWS})["y"], 2 * ROWS)


def test_auto_takes_what_is_there(doubler):
    session = open_session(doubler)
    assert session.providers[0] == {"cpu": CPU, "gpu": CUDA}[session.device]
    np.testing.assert_array_equal(session.run({"x": ROWS})["y"], 2 * ROWS)


def test_a_gpu_that_is_not_there_is_an_error_that_says_what_is_missing(doubler):
    if missing_for_gpu() is None:
        assert open_session(doubler, device="gpu").device == "gpu"
    else:
        with pytest.raises(Unavailable, match=r"no GPU to serve from: .*(driver|CUDA)"):
            open_session(doubler, device="gpu")


def test_what_cannot_be_loaded_is_refused(doubler):
    with pytest.raises(GateRefused, match="onnxruntime cannot load the model"):
        open_session(b"junk", device="cpu")
    with pytest.raises(InvalidInput, match="'tpu' is not a device"):
        open_session(doubler, device="tpu")


def test_nothing_is_printed_when_a_model_fails(tmp_path):
    code = "from prodml_magics.inference.session import open_session\ntry: open_session(b'junk')\nexcept Exception: pass"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_a_wrong_input_is_an_error(doubler):
    session = open_session(doubler, device="cpu")
    with pytest.raises(Exception, match="other"):
        session.run({"x": ROWS, "other": ROWS})
    with pytest.raises(Exception, match="Missing Input: x"):
        session.run({})


def test_a_provider_that_fails_in_a_run_is_an_error_and_no_reason_to_move(doubler, capfd):
    """onnxruntime's own wrapper would go on with the CPU and print a line, unless it is told not to."""

    class Failing:
        def __init__(self, native):
            self.native = native

        def run(self, *_):
            raise EPFail("out of memory on the device")

        def __getattr__(self, name):
            return getattr(self.native, name)

    loaded = _load(doubler, 1, [CPU])
    loaded._sess = Failing(loaded._sess)
    with pytest.raises(EPFail):
        loaded.run(["y"], {"x": ROWS})  # as over buffers
    with pytest.raises(EPFail):
        Session(loaded, "cpu").run({"x": ROWS})
    assert capfd.readouterr() == ("", "")
