"""Request records are the one place where a verb is written: complete, frozen, closed."""

from __future__ import annotations

import msgspec
import pytest

from prodml_magics.wire.requests import VERBS, Drift, Register, Request, Up


def test_the_verbs_in_the_order_of_help() -> None:
    assert list(VERBS) == [
        "register", "plan", "deploy", "optimize", "rollout", "rollback", "undeploy", "shadow", "replay", "whatif", "labels", "drift",
        "timeline", "undo", "status", "up", "token", "down", "doctor",
    ]  # fmt: skip
    assert set(VERBS.values()) == set(Request.__subclasses__())


@pytest.mark.parametrize("request_type", VERBS.values(), ids=VERBS)
def test_a_record_is_frozen_and_refuses_fields_that_it_does_not_know(request_type: type[Request]) -> None:
    assert request_type.__struct_config__.frozen
    with pytest.raises(msgspec.ValidationError, match="unknown field `nonsense`"):
        msgspec.convert({"nonsense": 1}, type=request_type)


def test_bounds_and_choices_are_checked_where_data_enters() -> None:
    for fields in ({"last": 0}, {"alpha": 0.0}, {"alpha": 1.0}, {"alpha": float("nan")}, {"arm": "none"}, {"last": True}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"model": "cancer", **fields}, type=Drift)
    for port in (0, -1, 65_536, "80"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"port": port}, type=Up)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"model": "m", "name": "n", "task": "ranking"}, type=Register)
