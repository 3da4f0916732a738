"""Laws of route changes, for every sequence of them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml_magics.errors import InvalidInput
from prodml_magics.rollouts.blue_green import promoted, rolled_back, undeployed
from prodml_magics.rollouts.shadow import shadowed, unshadowed
from prodml_magics.wire.routes import Route, ShadowRoute, VersionFiles

Step = tuple[str, Callable[[Route], Route]]


def files(version: int) -> VersionFiles:
    return VersionFiles(version, f"models/cancer/{version}", f"model {version}", f"contract {version}", f"samples {version}")


versions = st.integers(1, 5)
samples = st.floats(0, 1, exclude_min=True)
steps: st.SearchStrategy[Step] = st.one_of(
    versions.map(lambda version: (f"promote {version}", lambda route: promoted(route, files(version)))),
    st.just(("roll back", rolled_back)),
    st.just(("undeploy", undeployed)),
    st.tuples(versions, samples).map(lambda pair: (f"shadow {pair[0]}", lambda route: shadowed(route, files(pair[0]), pair[1]))),
    versions.map(lambda version: (f"unshadow {version}", lambda route: unshadowed(route, version))),
    st.just(("unshadow", unshadowed)),
)


def walk(taken: list[Step]) -> Route:
    """The route after `taken`, those that are refused left out."""
    route = Route("cancer", 0)
    for _, step in taken:
        try:
            route = step(route)
        except InvalidInput:
            continue
    return route


routes = st.lists(steps, max_size=12).map(walk)


@given(routes)
def test_a_route_has_the_files_of_exactly_what_it_loads(route: Route) -> None:
    assert sorted(entry.version for entry in route.files) == sorted(route.loaded())


@given(routes)
def test_no_shadow_is_live_and_nothing_runs_without_a_live_version(route: Route) -> None:
    assert route.live not in {shadow.version for shadow in route.shadows}
    assert all(0 < shadow.sample <= 1 for shadow in route.shadows)
    if route.live is None:
        assert route.loaded() == () and route.shadows == () and route.files == ()


@given(routes)
def test_live_and_previous_are_different_versions(route: Route) -> None:
    assert route.live is None or route.live != route.previous


@given(routes, steps)
def test_a_change_never_touches_the_route_that_it_was_given(route: Route, step: Step) -> None:
    before = msgspec.json.encode(route)
    try:
        after = step[1](route)
    except InvalidInput as error:
        assert "; " in str(error) and str(error).isprintable()
    else:
        assert after.model == route.model
        assert msgspec.json.decode(msgspec.json.encode(after), type=Route) == after
    assert msgspec.json.encode(route) == before


@given(routes)
def test_rolling_back_twice_returns_to_the_same_versions(route: Route) -> None:
    if route.previous is None:
        with pytest.raises(InvalidInput, match=r"no previous version|is not deployed"):
            rolled_back(route)
        return
    once = rolled_back(route)
    assert (once.live, once.previous) == (route.previous, route.live)
    twice = rolled_back(once)
    assert (twice.live, twice.previous) == (route.live, route.previous)
    if route.previous not in {shadow.version for shadow in route.shadows}:
        assert twice == route


@given(routes, versions)
def test_promotion_is_live_at_once_and_a_rollback_is_its_inverse(route: Route, version: int) -> None:
    after = promoted(route, files(version))
    assert after.live == version
    if version != route.live:
        assert after.previous == route.live
        if route.live is not None:
            assert rolled_back(after).live == route.live


@given(routes, versions, samples)
def test_a_shadow_changes_nobody_s_answers_and_ends_without_trace(route: Route, version: int, sample: float) -> None:
    if route.live is None or route.live == version:
        with pytest.raises(InvalidInput, match=r"no live traffic to mirror|is live; a shadow is another version"):
            shadowed(route, files(version), sample)
        return
    after = shadowed(route, files(version), sample)
    others = tuple(shadow for shadow in route.shadows if shadow.version != version)
    assert (after.live, after.previous, after.shadows) == (route.live, route.previous, (*others, ShadowRoute(version, sample)))
    ended = unshadowed(after, version)
    assert (ended.live, ended.previous, ended.shadows) == (route.live, route.previous, others)
    with pytest.raises(
        InvalidInput, match=r"version 9 of cancer is no shadow; versions? .*\d (is|are): %shadow cancer@\d --stop"
    ):
        unshadowed(after, 9)


def test_promotion_takes_new_files_of_a_version_that_it_already_held() -> None:
    route = promoted(promoted(Route("cancer", 0), files(1)), files(2))
    renewed = msgspec.structs.replace(files(1), model_sha256="other")
    assert promoted(route, renewed).file(1).model_sha256 == "other"
