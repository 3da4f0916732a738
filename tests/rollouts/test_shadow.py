"""What a shadow may lead to: bad news at once, good news at its end, and nothing live undecided."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plans import NOON

from prodml_magics.rollouts.shadow import Follows, decide
from prodml_magics.wire.rollouts import PairedVerdict, Verdict
from prodml_magics.wire.routes import ShadowPlan

LATER = NOON + timedelta(hours=1)
WORDS: tuple[Verdict, ...] = ("better", "no worse", "worse", "undecided")


def said(word: Verdict) -> PairedVerdict:
    return PairedVerdict(verdict=word, reason="so it is", e_worse=1.0, e_no_worse=1.0, tolerance=0.02, margin=0.02, labelled=0)


def plan(**fields: object) -> ShadowPlan:
    return ShadowPlan(began_at=NOON, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "word", "mirrored", "follows", "kind", "tier"),
    [
        ({}, "worse", 10**6, "nothing", None, None),
        ({"rows": 100}, "worse", 99, "nothing", None, None),
        ({"rows": 100}, "worse", 100, "nothing", "end", None),
        ({"rows": 100}, "no worse", 100, "nothing", "end", None),
        ({"seconds": 3600.0}, "undecided", 0, "nothing", "end", None),
        ({"seconds": 3601.0}, "undecided", 0, "nothing", None, None),
        ({"promote": True}, "no worse", 50, "nothing", "promote", None),
        ({"promote": True}, "undecided", 50, "nothing", None, None),
        ({"promote": True, "rows": 100}, "better", 50, "nothing", None, None),
        ({"promote": True, "rows": 100}, "better", 100, "nothing", "promote", None),
        ({"promote": True, "rows": 100}, "undecided", 100, "nothing", "end", "daily"),
        ({"promote": True, "rows": 100}, "worse", 5, "nothing", "end", "daily"),
        ({"rows": 100}, "no worse", 100, "canary", "deploy", None),
        ({"rows": 100}, "undecided", 100, "canary", "deploy", None),
        ({"rows": 100}, "undecided", 100, "everything", "end", "daily"),
        ({"rows": 100}, "no worse", 100, "everything", "deploy", None),
        ({"rows": 100}, "no worse", 99, "everything", None, None),
        ({"rows": 100}, "worse", 5, "canary", "end", "daily"),
    ],
)
def test_what_is_due(
    fields: dict[str, object], word: Verdict, mirrored: int, follows: Follows, kind: str | None, tier: str | None
) -> None:
    found = decide(plan(**fields), said(word), mirrored, LATER, follows=follows)
    assert (found.kind if found else None, found.tier if found else None) == (kind, tier)


plans = st.builds(
    plan,
    rows=st.none() | st.integers(1, 100),
    seconds=st.none() | st.floats(1, 7200),
    promote=st.booleans(),
)
verdicts = st.none() | st.sampled_from(WORDS).map(said)
leads: st.SearchStrategy[Follows] = st.sampled_from(["nothing", "canary", "everything"])


@given(plans, verdicts, st.integers(0, 200), leads, st.booleans())
def test_nothing_becomes_live_unless_it_was_shown(
    chosen: ShadowPlan, verdict: PairedVerdict | None, mirrored: int, follows: Follows, crashed: bool
) -> None:
    found = decide(chosen, verdict, mirrored, LATER, follows=follows, crashed=crashed)
    word = verdict.verdict if verdict else "undecided"
    if found and (found.kind == "promote" or (found.kind == "deploy" and follows == "everything")):
        assert word in ("no worse", "better") and not crashed
    if found and found.kind == "deploy":
        assert follows != "nothing" and word != "worse"
    if crashed:
        assert found is not None and (found.kind, found.tier) == ("end", "immediate")


@given(plans, st.integers(0, 200), leads)
def test_a_clock_that_goes_back_ends_nothing_by_time(chosen: ShadowPlan, mirrored: int, follows: Follows) -> None:
    found = decide(chosen, None, mirrored, NOON - timedelta(days=1), follows=follows)
    assert found is None or (chosen.rows is not None and mirrored >= chosen.rows)


def test_before_any_pair_a_reason_is_given_all_the_same() -> None:
    found = decide(plan(seconds=60.0), None, 0, LATER, follows="nothing")
    assert found is not None and found.reason == "undecided after 60 s: no pair yet"
