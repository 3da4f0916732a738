"""What `status` says in text."""

from __future__ import annotations

from prodml_magics.actions.results.status import StatusResult
from prodml_magics.wire.status import ControllerStatus, GatewayStatus, ModelStatus, StatusReport, Traffic


def _text(traffic: Traffic | None) -> str:
    gateway, controller = GatewayStatus(state="up", url="http://127.0.0.1:1"), ControllerStatus(state="up")
    models = (ModelStatus(name="cancer", live=1, traffic=traffic),)
    return str(StatusResult(StatusReport(home="/home", gateway=gateway, controller=controller, models=models)))


def test_requests_that_nobody_answers_are_told_as_in_the_panel() -> None:
    assert "! cancer: 12.4 requests a second are refused with 503, unanswered" in _text(Traffic(refused_per_second=12.4))
    assert "refused" not in _text(Traffic(requests=5)) + _text(None)
