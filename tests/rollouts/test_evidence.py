"""Evidence from requests: it adds up, counts keys once, freezes what must not look ahead, and decides as its statistics say."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from plans import LADDER, earlier, plan, rollout, stream, until_harm, walked

from prodml_magics.errors import UsageError
from prodml_magics.rollouts.e_values import log_harm
from prodml_magics.rollouts.evidence import LEVELS, Evidence, begin, lift_of
from prodml_magics.rollouts.fold import Requests, Seen, fold
from prodml_magics.rollouts.guards import GUARDS, read_guards
from prodml_magics.rollouts.judge import judge, latched
from prodml_magics.rollouts.plan import read_steps
from prodml_magics.rollouts.verdicts import verdicts

PLAN = plan()


def of(canary: list[int], status: list[int], latency: list[float], keys: list[str] | None = None, step: int = 2) -> Requests:
    count = len(canary)
    return Requests(
        np.array(canary, bool),
        np.full(count, step),
        np.array(status),
        np.array(latency, float),
        np.ones(count, int),
        keys or [""] * count,
    )


def test_events_are_counted_by_arm_and_step() -> None:
    evidence = begin(PLAN, 3, latencies=np.arange(1.0, 1001.0))
    batch = of([0, 1, 1, 0], [500, 504, 200, 200], [2.0, 3.0, 2000.0, 600.0])
    after = fold(PLAN, evidence, batch, {})
    assert after.requests == ((0, 0, 2, 0, 0), (0, 0, 2, 0, 0))
    assert after.counts == (((0, 0, 1, 0, 0), (0, 0, 1, 0, 0)),)
    assert after.slower is not None and after.slower.events[LEVELS.index(0.5)] == (1, 1)
    assert after.margins["latency_p99/0"].events == ((0, 1),)
    assert evidence.canary_requests == 0 and after.canary_requests == 2


def test_a_request_for_which_another_version_stood_in_is_an_event_and_no_run() -> None:
    guarded = plan(guards=read_guards("error_rate,fallback_rate", ""))
    batch = of([1, 1, 0], [200, 200, 200], [1.0, 1.0, 1.0])._replace(fallback=np.array([True, False, False]))
    after = fold(guarded, begin(guarded, 3), batch, {})
    assert after.counts == (((0,) * 5, (0,) * 5), ((0,) * 5, (0, 0, 1, 0, 0)))
    assert after.requests == ((0, 0, 1, 0, 0), (0, 0, 2, 0, 0))


def test_a_canary_request_has_to_exceed_the_floor_or_the_margin_to_count() -> None:
    median = 500.0 + 1
    lifted = median * 1.05 + 0.25
    batch = of([1, 1, 0], [200] * 3, [lifted, np.nextafter(lifted, 999), np.nextafter(median, 999)])
    after = fold(PLAN, begin(PLAN, 3, latencies=np.arange(1.0, 1001.0)), batch, {})
    assert after.slower is not None and after.slower.events[LEVELS.index(0.5)] == (1, 1)
    assert lift_of(GUARDS["latency_p99"], 100.0) == pytest.approx(120.0)
    assert lift_of(GUARDS["latency_p99"], 0.1) == pytest.approx(0.355)


def test_a_key_counts_once_for_each_kind_of_event_and_requests_without_one_always() -> None:
    batch = of([0] * 6, [500] * 6, [1.0] * 6, ["ann", "ann", "", "", "bob", "ann"])
    seen: Seen = {}
    after = fold(PLAN, begin(PLAN, 3), batch, seen)
    assert sum(after.counts[0][0]) == 4 and after.keyed
    again = fold(PLAN, after, batch, seen)
    assert sum(again.counts[0][0]) == 6
    assert again.sizes["error_rate"] == ((6, 0), (6, 0))
    assert again.requests[0][2] == 12


def test_thresholds_are_learned_from_the_first_live_requests_which_are_then_spent() -> None:
    rng = np.random.default_rng(0)
    evidence = begin(PLAN, 3)
    assert evidence.thresholds == ()
    first = stream(rng, 500, 2)
    after = fold(PLAN, evidence, first, {})
    assert len(after.thresholds) == len(LEVELS) and after.learning == ()
    assert after.thresholds == tuple(np.quantile(first.run_ms[~first.canary], LEVELS, method="higher").tolist())
    assert after.slower is not None and after.slower.events == ((0, 0),) * len(LEVELS) and after.margins == {}
    later = fold(PLAN, after, stream(rng, 500, 2), {})
    assert later.thresholds == after.thresholds
    assert later.slower is not None and sum(later.slower.events[0]) > 100


def test_what_is_kept_in_the_ledger_is_the_whole_evidence() -> None:
    rng = np.random.default_rng(1)
    batches = [stream(rng, 400, step) for step in (0, 1, 2, 2, 3)]
    seen: Seen = {}
    evidence = begin(PLAN, 3, latencies=earlier(rng), error_rate=0.01)
    for batch in batches[:3]:
        evidence = latched(PLAN, fold(PLAN, evidence, batch, seen))
    resumed = msgspec.json.decode(msgspec.json.encode(evidence), type=Evidence)
    assert resumed == evidence
    assert len(msgspec.json.encode(evidence)) < 50_000
    assert walked(PLAN, resumed, batches[3:]) == walked(PLAN, evidence, batches[3:])


def test_beginnings_keep_the_counts_at_which_they_began() -> None:
    rng = np.random.default_rng(2)
    evidence = begin(PLAN, 3, latencies=earlier(rng))
    small = fold(PLAN, evidence, stream(rng, 900, 2), {})
    assert len(small.beginnings) == 0 or small.canary_requests >= 250
    large = fold(PLAN, small, stream(rng, 900, 2), {})
    assert large.beginnings and large.beginnings[0].counts == large.counts
    later = fold(PLAN, large, stream(rng, 900, 2), {})
    assert later.beginnings[0].counts == large.counts != later.counts


def test_a_good_candidate_is_no_worse_and_a_bad_one_is_named() -> None:
    rng = np.random.default_rng(3)
    state = rollout(PLAN, step=2)
    good = walked(
        PLAN, begin(PLAN, 3, latencies=earlier(rng)), [stream(rng, 1_000, 2, failing=(0.002, 0.002)) for _ in range(20)]
    )
    assert judge(state, good).no_worse and not judge(state, good).harm
    assert {each.verdict for each in verdicts(state, good)} == {"no worse"}
    failing = walked(PLAN, begin(PLAN, 3), [stream(rng, 500, 2, failing=(0.005, 0.05)) for _ in range(4)])
    assert judge(state, failing).harm == ("error_rate",)
    slow = walked(PLAN, begin(PLAN, 3), [stream(rng, 500, 2, slow=2.0) for _ in range(4)])
    assert judge(state, slow).harm == ("latency_p99",)
    assert [each.verdict for each in verdicts(state, slow)][1] == "worse"


def test_without_any_error_the_absolute_margin_decides_and_the_relative_one_says_that_it_cannot() -> None:
    rng = np.random.default_rng(4)
    both = plan(guards=read_guards("error_rate,timeout_rate", "timeout_rate=20%"))
    evidence = walked(both, begin(both, 3), [stream(rng, 400, 2, failing=(0.0, 0.0)) for _ in range(10)])
    absolute, relative = verdicts(rollout(both, step=2), evidence)
    assert absolute.verdict == "no worse" and 600 <= absolute.canary_rows <= 1_200
    assert (relative.verdict, relative.rows_needed) == ("undecided", None)
    assert "no event on either arm" in relative.note


def test_a_split_that_loses_canary_requests_is_a_mismatch_for_ever() -> None:
    rng = np.random.default_rng(5)
    lossy = stream(rng, 20_000, 2)
    kept = ~lossy.canary | (rng.random(20_000) < 0.8)
    batch = Requests(*(np.asarray(each)[kept] for each in lossy[:5]), key=[""] * int(kept.sum()))
    evidence = walked(PLAN, begin(PLAN, 3), [batch])
    assert evidence.mismatch
    assert walked(PLAN, evidence, [stream(rng, 50_000, 3)]).mismatch
    assert not walked(PLAN, begin(PLAN, 3), [stream(rng, 20_000, 2)]).mismatch


def test_an_empty_batch_changes_nothing() -> None:
    evidence = begin(PLAN, 3)
    assert fold(PLAN, evidence, of([], [], []), {}) is evidence
    assert judge(rollout(PLAN), latched(PLAN, evidence))[:4] == (0, (), False, False)
    assert log_harm(PLAN, evidence) == pytest.approx({"error_rate": 0.0, "latency_p99": 0.0})


def test_three_times_slower_at_one_percent_is_harm_after_some_hundreds_of_requests() -> None:
    rng = np.random.default_rng(6)
    assert np.median([until_harm(rng, PLAN, 0, 25, 3_000, slow=3.0) for _ in range(25)]) <= 1_000


def test_looked_at_after_every_batch_identical_versions_are_rarely_called_harm() -> None:
    rng = np.random.default_rng(7)
    runs = 60
    called = sum(np.isfinite(until_harm(rng, PLAN, 2, 250, 10_000)) for _ in range(runs))
    assert called / runs <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize(
    ("guards", "margins", "said"),
    [
        ("speed", "", "'speed' is no guard; guards are error_rate, timeout_rate, fallback_rate, rejected, latency_p50"),
        ("eror_rate", "", "'eror_rate' is no guard; did you mean 'error_rate'"),
        ("latency_p99", "laency_p99=20%", "'laency_p99' is no guard; did you mean 'latency_p99' or"),
        ("error_rate", "latency_p99=20%", "there is a margin for latency_p99, which is not guarded"),
        ("", "latency_p99=20", "a margin of latency_p99 needs a unit"),
        ("", "error_rate", "'error_rate' is no margin; write error_rate=20% or error_rate=0.005"),
        ("", "error_rate=-1", "is no margin"),
        ("", "error_rate=nan", "is no margin"),
        ("", "latency_p99=x%", "is no margin; write latency_p99=20%"),
    ],
)
def test_a_guard_or_margin_that_cannot_be_meant_is_one_line(guards: str, margins: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_guards(guards, margins)
    assert said in str(caught.value) and "; " in str(caught.value)


def test_guards_and_margins_are_read() -> None:
    found = read_guards("latency_p95, error_rate,error_rate", "latency_p95=10%,error_rate=0.01")
    assert [(each.metric, each.margin, each.relative) for each in found] == [
        ("latency_p95", 0.1, True),
        ("error_rate", 0.01, False),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no steps"),
        (",", "has no steps"),
        ("5,,25", "'' is no step"),
        ("5,1", "do not rise; write them in order, such as --canary 1,5"),
        ("5,5", "do not rise"),
        ("50,101", "'101' is no step"),
        ("0,5", "'0' is no step"),
        ("five", "'five' is no step"),
        ("nan", "'nan' is no step"),
        (
            "1e-9,5",
            "a step of '1e-9' leaves one version less than 0.01 % of the traffic, too little to compare; write 0.01 or more",
        ),
        ("0.0099%,5", "a step of '0.0099%' leaves"),
        ("5,99.995", "too little to compare; write 100"),
        ("100", "a ladder of only 100 is no canary"),
    ],
)
def test_a_ladder_that_cannot_be_meant_is_one_line(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_steps(text)
    assert said in str(caught.value) and "; " in str(caught.value)


def test_ladders_are_read_from_words_and_numbers() -> None:
    assert read_steps("1%,5,25,50,100") == read_steps([1, 5, 25, 50, 100]) == LADDER
    assert read_steps("0.01,99.99,100") == (0.01, 99.99, 100.0)


def test_all_requests_of_one_run_are_one_event_and_runs_are_held_against_runs_of_their_size() -> None:
    batch = Requests(
        canary=np.array([False] * 8 + [True] * 2),
        step=np.full(10, 2),
        status=np.full(10, 200),
        run_ms=np.array([2_000.0] * 8 + [3_000.0] * 2),
        run_rows=np.array([8, 0, 0, 0, 0, 0, 0, 0, 2, 0]),
        key=[""] * 10,
    )
    after = fold(PLAN, begin(PLAN, 3, latencies=np.arange(1.0, 1001.0)), batch, {})
    assert after.slower is not None and after.slower.events == ((1, 1),) * len(LEVELS)
    assert {name: (each.events, each.open_runs) for name, each in after.margins.items()} == {
        "latency_p99/1": (((0, 0),), (0, 1)),
        "latency_p99/3": (((0, 0),), (1, 0)),
    }


def test_the_quantiles_of_both_arms_are_told_with_their_bands() -> None:
    rng = np.random.default_rng(8)
    evidence = walked(PLAN, begin(PLAN, 3, latencies=earlier(rng)), [stream(rng, 1_000, 3, slow=2.0) for _ in range(4)])
    note = verdicts(rollout(PLAN, step=3), evidence)[1].note
    canary, live = (
        float(each.partition(" ms")[0]) for each in note.removeprefix("runs of the canary ").split(", of the live version ")
    )
    truth = float(np.exp(1.4 + 0.6 * 2.3263478740408408))
    assert live == pytest.approx(truth, rel=0.15) and canary == pytest.approx(2 * truth, rel=0.15)
    assert msgspec.json.decode(msgspec.json.encode(evidence), type=Evidence) == evidence


def test_evidence_that_an_earlier_release_kept_is_read_on() -> None:
    """Its times were pairs of bin and count."""
    rng = np.random.default_rng(8)
    chosen = plan()
    before = walked(chosen, begin(chosen, 3, latencies=earlier(rng)), [stream(rng, 200, 2)])
    kept = msgspec.to_builtins(before, str_keys=True)
    kept["times"] = [[[int(place), count] for place, count in arm.items()] for arm in kept["times"]]
    old = msgspec.json.decode(msgspec.json.encode(kept), type=Evidence)
    assert [dict(arm) for arm in old.times] == [dict(arm) for arm in before.times]
    more = stream(rng, 200, 2)
    assert fold(chosen, old, more, Seen()) == fold(chosen, before, more, Seen())
