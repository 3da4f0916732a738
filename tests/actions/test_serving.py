"""What ``%deploy`` says of how requests are taken stays until it is changed."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.serving import refuse_missing_gpu, serving_of
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import Unavailable, UsageError
from prodml_magics.inference.providers import missing_for_gpu
from prodml_magics.wire.requests import Deploy
from prodml_magics.wire.routes import CanaryRoute, Route, Serving, ShadowRoute, VersionFiles


@pytest.mark.parametrize(
    ("flags", "before", "after"),
    [
        ({}, Serving(20, 8), Serving(20, 8)),
        ({"slo_p99": "20ms"}, Serving(), Serving(20)),
        ({"slo_p99": "1.5 s"}, Serving(20, 8), Serving(1500, 8)),
        ({"slo_p99": "none"}, Serving(20, 8), Serving(None, 8)),
        ({"max_batch": 64}, Serving(20), Serving(20, 64)),
        ({"mask": ("email", "age")}, Serving(20), Serving(20, mask=("email", "age"))),
        ({"mask": ("none",)}, Serving(mask=("email",)), Serving()),
        ({}, Serving(mask=("email",)), Serving(mask=("email",))),
        ({"fsync": "100ms"}, Serving(), Serving(fsync_ms=100)),
        ({"fsync": "always"}, Serving(), Serving(fsync_ms=0)),
        ({"fsync": "none"}, Serving(fsync_ms=100), Serving()),
        ({"on_log_failure": "serve"}, Serving(20), Serving(20, on_log_failure="serve")),
        ({"log_sample": 0.1}, Serving(), Serving(log_sample=0.1)),
        ({"keep": "30d"}, Serving(), Serving(keep_seconds=30 * 86_400)),
        ({"default": "0"}, Serving(20), Serving(20, default="0")),
        ({"default": "none"}, Serving(default="0"), Serving()),
        ({"output_range": "0:1"}, Serving(), Serving(output_range=(0, 1))),
        ({"output_range": "0:"}, Serving(), Serving(output_range=(0, float("inf")))),
        ({"idle": "30m"}, Serving(), Serving(idle_seconds=1800)),
        ({"idle": "none"}, Serving(idle_seconds=1800), Serving()),
        ({"device": "gpu", "gpu_memory": "2GB"}, Serving(20), Serving(20, device="gpu", gpu_bytes=2 * 10**9)),
        ({"device": "auto", "gpu_memory": "none"}, Serving(device="cpu", gpu_bytes=9), Serving()),
        ({"output_range": "none"}, Serving(output_range=(0, 1)), Serving()),
        ({"keep": "none"}, Serving(keep_seconds=30 * 86_400), Serving()),
        ({}, Serving(1, 2, (), 3, "serve", 0.5, 90_000), Serving(1, 2, (), 3, "serve", 0.5, 90_000)),
    ],
)
def test_flags_change_what_they_name(flags: dict[str, object], before: Serving, after: Serving) -> None:
    assert serving_of(Deploy(model="m", **flags), before) == after  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["20", "fast", "0ms", "-1ms", "20m", "1e3ms", "ms"])
def test_what_is_no_latency_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"--slo-p99 .* is not a latency; write 20ms"):
        serving_of(Deploy(model="m", slo_p99=text), Serving())


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"device": "cpu", "gpu_memory": "1GB"}, "--gpu-memory is for a model on a GPU; leave it out, or give --device gpu"),
        ({"gpu_memory": "much"}, "--gpu-memory"),
        ({"fsync": "soon"}, "--fsync 'soon' is not a time; write always, none, or a time such as 100ms"),
        ({"fsync": "0ms"}, "--fsync '0ms' is not a time"),
        ({"output_range": "1:0"}, "--output-range '1:0' is no range; write LOW:HIGH"),
        ({"output_range": "3"}, "--output-range '3' is no range"),
        ({"output_range": "a:b"}, "--output-range 'a:b' is no range"),
        ({"keep": "12h"}, "--keep 12h is less than a day"),
        ({"keep": "long"}, "'long' is not a duration"),
    ],
)
def test_what_the_log_cannot_follow_is_refused_with_an_example(flags: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        serving_of(Deploy(model="m", **flags), Serving())  # type: ignore[arg-type]


def test_beside_a_canary_or_a_shadow_everything_is_logged() -> None:
    route = Route("m", 1, live=1, serving=Serving(log_sample=0.1, on_log_failure="serve"))
    assert route.logging().log_sample == 0.1
    shadowed = replace(route, shadows=(ShadowRoute(2),))
    canaried = replace(route, canary=CanaryRoute(2, 0.1, "salt", 7))
    assert [each.logging() for each in (shadowed, canaried)] == [Serving(on_log_failure="serve")] * 2


NO_GPU = pytest.mark.skipif(missing_for_gpu() is None, reason="a GPU is here")


@NO_GPU
@pytest.mark.parametrize("flags", [{"device": "gpu"}, {"device": "tensorrt"}, {"gpu_memory": "2GB"}])
@pytest.mark.parametrize("canary", [None, "5,100"])
def test_a_rehearsal_refuses_a_gpu_that_is_not_here_as_the_deployment_does(
    home: Workspace, flags: dict[str, str], canary: str | None
) -> None:
    with pytest.raises(Unavailable, match=r"^no GPU to serve from: .*; (use --device cpu|pip install .*)$"):
        deploy(home, Deploy(model="cancer@2", canary=canary, dry_run=True, **flags))  # type: ignore[arg-type]
    deploy(home, Deploy(model="cancer@2", canary=canary, dry_run=True, device="auto", gpu_memory="none"))


def test_a_python_model_has_no_gpu_of_ours() -> None:
    files = VersionFiles(1, "folder", "0" * 64, "0" * 64, flavor="python")
    with pytest.raises(Unavailable, match="a Python model runs where its own code says, not on --device gpu; give --device auto"):
        refuse_missing_gpu(Deploy(model="m", device="gpu"), Serving(device="gpu"), files)
    refuse_missing_gpu(Deploy(model="m"), Serving(device="gpu"), files)
