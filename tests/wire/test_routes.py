"""Routes and their stored form: yesterday's bytes are read today."""

from __future__ import annotations

import msgspec
import pytest

from prodml_magics.wire.routes import ROUTE_FORMAT, Route, ShadowRoute, VersionFiles, flavor_of

STORED = (
    b'{"model":"cancer","revision":7,"live":2,"previous":1,"shadows":[{"version":3,"sample":0.5}],"files":['
    b'{"version":2,"folder":"models/cancer/2","model_sha256":"a","contract_sha256":"b","samples_sha256":"c"},'
    b'{"version":1,"folder":"models/cancer/1","model_sha256":"d","contract_sha256":"e","samples_sha256":""},'
    b'{"version":3,"folder":"models/cancer/3","model_sha256":"f","contract_sha256":"g","samples_sha256":"h"}],"format":1}'
)


def test_a_stored_route_of_format_1_is_read() -> None:
    route = msgspec.json.decode(STORED, type=Route)
    assert (route.live, route.previous, route.shadows) == (2, 1, (ShadowRoute(3, 0.5),))
    assert route.format == ROUTE_FORMAT == 1
    assert route.canary is None
    assert {entry.flavor for entry in route.files} == {"onnx"}
    assert msgspec.json.decode(msgspec.json.encode(route), type=Route) == route


def test_what_a_gateway_must_hold_is_named_once_live_first() -> None:
    assert Route("m", 1).loaded() == ()
    assert Route("m", 1, live=2, previous=1, shadows=(ShadowRoute(1), ShadowRoute(3))).loaded() == (2, 1, 3)


def test_files_are_found_by_version() -> None:
    entries = tuple(VersionFiles(version, f"models/m/{version}", "a", "b") for version in (1, 2))
    assert Route("m", 1, live=2, files=entries).file(2) == entries[1]
    with pytest.raises(StopIteration):
        Route("m", 1, live=2, files=entries).file(3)


def test_the_flavor_is_told_by_the_model_file() -> None:
    assert flavor_of(["contract.json", "model.onnx"]) == "onnx"
    assert flavor_of(["contract.json", "model.pkl"]) == "python"
    assert flavor_of(["MLmodel", "contract.json"]) is None
