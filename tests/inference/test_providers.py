from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from prodml_magics.inference import cuda
from prodml_magics.inference.cuda import pinned_empty
from prodml_magics.inference.providers import CPU, CUDA, TENSORRT, Gpu, gpu_providers
from prodml_magics.inference.session import _load


def test_a_session_that_must_not_fall_back_may_not_name_the_cpu(doubler: bytes) -> None:
    """What onnxruntime itself says: naming both is refused whatever the model, so that nothing would ever run on a GPU."""
    with pytest.raises(Exception, match="explicitly added the CPU EP"):
        _load(doubler, 1, [CPU], ("session.disable_cpu_ep_fallback", "1"))
    for device in ("auto", "gpu", "tensorrt"):
        assert CPU not in [name for name, _ in gpu_providers(device, Gpu())]  # type: ignore[arg-type]


def test_a_bound_of_memory_and_exact_numbers_are_asked_of_cuda() -> None:
    ((name, options),) = gpu_providers("gpu", Gpu(memory_bytes=1 << 30))
    assert name == CUDA
    assert (options["gpu_mem_limit"], options["use_tf32"], options["enable_cuda_graph"]) == (str(1 << 30), "0", "1")
    assert "gpu_mem_limit" not in gpu_providers("gpu", Gpu())[0][1]
    assert gpu_providers("gpu", Gpu(most_rows=0))[0][1]["enable_cuda_graph"] == "0"


def test_tensorrt_gets_one_engine_for_all_numbers_of_rows(tmp_path: Path) -> None:
    (first, told), (second, _) = gpu_providers("tensorrt", Gpu(most_rows=64, engines=tmp_path), {"x": [30], "image": [3, 8, 8]})
    assert (first, second) == (TENSORRT, CUDA), "what TensorRT lacks runs on CUDA, never on the CPU"
    assert told["trt_profile_min_shapes"] == "x:1x30,image:1x3x8x8"
    assert told["trt_profile_max_shapes"] == told["trt_profile_opt_shapes"] == "x:64x30,image:64x3x8x8"
    assert told["trt_engine_cache_path"] == str(tmp_path)
    assert "trt_profile_min_shapes" not in gpu_providers("tensorrt", Gpu())[0][1]
    assert "trt_engine_cache_enable" not in gpu_providers("tensorrt", Gpu())[0][1]


@pytest.mark.parametrize(
    ("most", "rows"),
    [
        (0, ()),
        (1, (1,)),
        (4, (1, 2, 4)),
        (100, (1, 2, 4, 8, 16, 32, 64, 100)),
        (1000, (*(2**power for power in range(10)), 1000)),
    ],
)
def test_buffers_double_up_to_the_largest_run(most: int, rows: tuple[int, ...]) -> None:
    assert Gpu(most_rows=most).rows == rows


class Runtime:
    """Stands for the CUDA runtime, which is not here, and counts what it has locked."""

    def __init__(self, answer: int) -> None:
        self.answer = answer
        self.locked: dict[int, int] = {}

    def cudaHostRegister(self, address, size, flags):  # noqa: N802
        if self.answer == 0:
            self.locked[address.value] = size.value
        return self.answer

    def cudaHostUnregister(self, address):  # noqa: N802
        del self.locked[address.value]
        return 0


def test_memory_is_locked_for_as_long_as_the_array_lives() -> None:
    runtime = Runtime(0)
    found = pinned_empty((4, 3), np.float32, runtime)
    assert runtime.locked == {found.ctypes.data: 48}
    view = found[1:]
    del found
    gc.collect()
    assert runtime.locked
    del view
    gc.collect()
    assert not runtime.locked


def test_what_a_gpu_has_left_is_asked_of_the_runtime() -> None:
    class Asked(Runtime):
        def cudaMemGetInfo(self, free, total):  # noqa: N802
            free._obj.value, total._obj.value = 30, 100
            return self.answer

    assert cuda.gpu_memory(Asked(0)) == (70, 100)
    assert cuda.gpu_memory(Asked(35)) is None


def test_memory_that_cannot_be_locked_is_memory_all_the_same() -> None:
    runtime = Runtime(2)
    found = pinned_empty((2, 2), np.float64, runtime)
    found[:] = 1
    del found
    gc.collect()
    assert cuda._runtime() is None or pinned_empty((1,), np.int8).shape == (1,)
    assert pinned_empty((0, 3), np.float32, Runtime(0)).size == 0
