"""The profile that a thread makes beside the conversion is the one that is made in one go."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from registry.here import Here
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeRegressor

from prodml_magics.actions.profiling import Profiling
from prodml_magics.contract.schema import Contract
from prodml_magics.errors import Unsupported
from prodml_magics.registry.build import build
from prodml_magics.stats.drift import from_arrow, prepare, to_arrow

CONTRACT = Contract(task="other", columns=(), inputs=(), outputs=())


@pytest.fixture
def columns():
    generator = np.random.default_rng(0)
    cities = generator.choice(["Oslo", "Rome", ""], 2_000)
    return {"age": generator.normal(40, 9, 2_000), "city": cities, "rooms": generator.integers(1, 9, 2_000)}


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("profile")]


@pytest.mark.parametrize("masked", [frozenset(), frozenset({"age"})])
def test_it_is_the_profile_of_all_columns_at_once(columns, masked):
    answers = {"label": np.arange(2_000) % 2, "probability_1": np.linspace(0, 1, 2_000, dtype=np.float32)}
    with Profiling(lambda _: masked) as profiling:
        profiling.rows(columns)
        profiling.answers(CONTRACT, answers)
        made = profiling.arrow({"accuracy": 0.5}, {"age": 0.25})
    extras = {"outputs": ["label", "probability_1"], "metrics": {"accuracy": 0.5}, "importance": {"age": 0.25}}
    together = {**columns, **answers, "label": answers["label"].astype(str)}
    assert made == to_arrow(prepare(together, calibrate=True, tables=True, whole=True, masked=masked, extras=extras))
    assert not threads()


def test_of_rows_that_are_told_twice_the_latter_count(columns):
    with Profiling() as profiling:
        profiling.rows(columns)
        profiling.rows({"age": columns["age"][:1_500]})
        profiling.answers(CONTRACT, {})
        made = profiling.arrow({}, {})
    wanted = prepare(
        {"age": columns["age"][:1_500]},
        calibrate=True,
        tables=True,
        whole=True,
        extras={"outputs": [], "metrics": {}, "importance": {}},
    )
    assert made == to_arrow(wanted)


def test_an_answer_that_is_named_as_a_column_stands_for_it(columns):
    with Profiling() as profiling:
        profiling.rows({"label": columns["age"]})
        profiling.answers(CONTRACT, {"label": columns["rooms"]})
        made = profiling.arrow({}, {})
    wanted = prepare(
        {"label": columns["rooms"].astype(str)},
        calibrate=True,
        tables=True,
        whole=True,
        extras={"outputs": ["label"], "metrics": {}, "importance": {}},
    )
    assert made == to_arrow(wanted)


def test_without_rows_and_answers_there_is_none():
    with Profiling() as profiling:
        profiling.rows({})
        profiling.answers(CONTRACT, {})
        assert profiling.arrow({}, {}) is None


def test_what_a_summary_raises_is_raised_with_the_profile(columns):
    with Profiling() as profiling:
        profiling.rows({"age": columns["age"].astype(complex)})
        profiling.answers(CONTRACT, {})
        with pytest.raises(Exception, match=r"age.*complex"):
            profiling.arrow({}, {})


def test_a_refused_model_leaves_no_thread(columns):
    rows = np.column_stack([columns["age"], columns["rooms"]])
    model = DecisionTreeRegressor().fit(rows, columns["age"])

    class Refusing(Here):
        def convert(self, *_):
            raise Unsupported("no")

    with pytest.raises(Unsupported), Profiling() as profiling:
        build(model, train=(rows,), converter=Refusing(), observer=profiling)
    assert not threads()


def test_rows_are_told_before_conversion_and_answers_after(columns):
    rows = np.column_stack([columns["age"], columns["rooms"]])
    model = LogisticRegression().fit(rows, columns["age"] > 40)
    told = []

    class Noting(Here):
        def convert(self, *arguments):
            told.append("converted")
            return super().convert(*arguments)

    class Observed:
        def rows(self, columns):
            told.append(tuple(columns))

        def answers(self, contract, columns):
            told.append(tuple(columns))

    build(model, train=(rows,), converter=Noting(), observer=Observed())
    assert told == [("x0", "x1"), "converted", ("label", "probability_0", "probability_1")]


@pytest.mark.parametrize("exact", [False, True])
def test_a_profile_keeps_every_value_where_it_is_to_be_exact(exact):
    values = np.random.default_rng(0).normal(size=120_000).astype(np.float32)
    with Profiling(exact=exact) as profiling:
        profiling.rows({"age": values})
        profiling.answers(CONTRACT, {})
        column = from_arrow(profiling.arrow({}, {})).columns["age"]
    assert (len(column.values), column.rank_error) == ((120_000, 0.0) if exact else (100_000, 1e-5))
