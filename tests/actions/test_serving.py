"""What ``%deploy`` says of how requests are taken stays until it is changed."""

from __future__ import annotations

import pytest

from prodml_magics.actions.serving import serving_of
from prodml_magics.errors import UsageError
from prodml_magics.wire.requests import Deploy
from prodml_magics.wire.routes import Serving


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
    ],
)
def test_flags_change_what_they_name(flags: dict[str, object], before: Serving, after: Serving) -> None:
    assert serving_of(Deploy(model="m", **flags), before) == after  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["20", "fast", "0ms", "-1ms", "20m", "1e3ms", "ms"])
def test_what_is_no_latency_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"--slo-p99 .* is not a latency; write 20ms"):
        serving_of(Deploy(model="m", slo_p99=text), Serving())
