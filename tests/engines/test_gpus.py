"""Which GPUs there are, and which worker has which."""

from __future__ import annotations

from pathlib import Path

import pytest

from prodml_magics.engines.gpus import gpu_of, visible_gpus


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("", ()),
        ("-1", ()),
        ("0", ("0",)),
        ("2, 0", ("2", "0")),
        ("1,-1,0", ("1",)),
        ("GPU-8932f937,MIG-3eb87630", ("GPU-8932f937", "MIG-3eb87630")),
    ],
)
def test_what_the_environment_names_is_what_there_is(said: str, found: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "nvidia0").touch()
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": said}, tmp_path) == found


def test_else_the_device_nodes_say_it(tmp_path: Path) -> None:
    assert visible_gpus({}, tmp_path) == ()
    for name in ("nvidia0", "nvidia3", "nvidiactl", "nvidia-uvm", "nvidia-modeset"):
        (tmp_path / name).touch()
    assert visible_gpus({}, tmp_path) == ("0", "1"), "CUDA numbers those that it sees from 0"


def test_they_are_dealt_out_in_turn() -> None:
    assert [gpu_of(worker, ("2", "5"))["CUDA_VISIBLE_DEVICES"] for worker in range(3)] == ["2", "5", "2"]
    assert gpu_of(0, ()) == {}
