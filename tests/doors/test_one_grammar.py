"""Magics, CLI and Python functions take the same words, since all of them derive from the request records."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import prodml_magics
from prodml_magics import functions
from prodml_magics.actions import grammar
from prodml_magics.cli.main import overview as cli_overview
from prodml_magics.errors import UsageError
from prodml_magics.magics.extension import overview as magics_overview
from prodml_magics.wire.requests import VERBS, Deploy, Drift, Register, Request, Shadow, Timeline, Undo

BY_VERB = pytest.mark.parametrize("verb", VERBS)


def words_of(verb: str, door: str) -> dict[str, tuple[Any, ...]]:
    """What a door's parser takes: by flag or position its help, choices and whether it is required."""
    parser = grammar.parser_of(VERBS[verb], verb, door)
    return {
        (action.option_strings or [action.dest])[0]: (action.help, action.choices, action.required, action.nargs, action.metavar)
        for action in parser._actions
        if action.dest != "help"
    }


@BY_VERB
def test_a_magic_and_the_cli_take_the_same_words(verb: str) -> None:
    notebook, cli = words_of(verb, "notebook"), words_of(verb, "cli")
    own = {field.flag for field in grammar.fields_of(VERBS[verb]) if field.doors}
    assert own == ({"--foreground"} if verb == "up" else set())
    assert notebook == {word: what for word, what in cli.items() if word not in own}
    assert own <= cli.keys()


@BY_VERB
def test_a_function_takes_every_field_of_the_record_and_nothing_else(verb: str) -> None:
    function = getattr(prodml_magics, verb)
    parameters = inspect.signature(function).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    fields = {field.name: field for field in grammar.fields_of(VERBS[verb], "python")}
    assert {name for name, each in parameters.items() if each.kind is not each.VAR_KEYWORD} <= fields.keys()
    assert open_ended or parameters.keys() == fields.keys()
    for name in fields.keys() - parameters.keys():
        assert f"``{name}``" in (function.__doc__ or ""), f"the docstring of {verb} does not name {name}"
    with pytest.raises((UsageError, TypeError), match="nonsense"):
        function(**{name: "x" for name, field in fields.items() if field.required}, nonsense=1)


@BY_VERB
def test_every_word_has_its_help_and_every_verb_its_line(verb: str) -> None:
    for field in grammar.fields_of(VERBS[verb]):
        assert field.help and field.help.isprintable(), f"{verb} {field.name}"
        assert field.kind is bool or field.choices or field.metavar, f"{verb} {field.name}"
    first = (VERBS[verb].__doc__ or "").strip()
    assert first and first in cli_overview() and first in magics_overview()
    assert verb in functions.__all__ and verb in prodml_magics.__all__


@BY_VERB
def test_help_prints_flags_and_does_nothing_else(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        grammar.parse(VERBS[verb], ["--help"], prog=f"prodml {verb}", door="cli")
    shown = capsys.readouterr()
    assert shown.out.startswith(f"usage: prodml {verb}") and shown.err == ""
    assert all(field.positional or field.flag in shown.out for field in grammar.fields_of(VERBS[verb]))


LINES: list[tuple[Request, list[str]]] = [
    (Deploy(model="cancer"), ["cancer"]),
    (Deploy(model="cancer@2", why="it is better"), ["cancer@2", "--why", "it is better"]),
    (Shadow(model="cancer@2", sample=0.5), ["cancer@2", "--sample", "0.5"]),
    (Shadow(model="cancer", stop=True), ["--stop", "cancer"]),
    (Drift(model="cancer"), ["cancer"]),
    (
        Drift(model="cancer", last=5000, columns=("mean radius", "b")),
        ["cancer", "--last", "5000", "--columns", "mean radius", "b"],
    ),
    (
        Drift(model="cancer", columns=("a", "b", "c"), method=("ks", "psi")),
        ["cancer", "--columns", "a", "--method", "ks", "--columns", "b", "c", "--method", "psi"],
    ),
    (Drift(model="a.parquet", current="b.parquet", alpha=0.01), ["a.parquet", "b.parquet", "--alpha=0.01"]),
    (
        Register(model="m.onnx", name="m", train=("X.parquet", "y"), test=("T.parquet",), trust=True),
        ["m.onnx", "--name", "m", "--train", "X.parquet", "y", "--test", "T.parquet", "--trust"],
    ),
    (Timeline(), []),
    (Timeline(model="cancer", limit=3), ["cancer", "--limit", "3"]),
    (Undo(), []),
    (Undo(id=4), ["4"]),
]


@pytest.mark.parametrize(("request_", "words"), LINES, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_words_become_the_record(request_: Request, words: list[str]) -> None:
    for door in ("notebook", "cli"):
        assert grammar.parse(type(request_), words, prog=request_.verb(), door=door) == request_


WRONG: list[tuple[str, list[str], str]] = [
    ("drift", ["cancer", "--last", "0"], "drift: --last must be at least 1"),
    ("drift", ["cancer", "--last", "many"], "argument --last: invalid whole number value: 'many'"),
    ("drift", ["cancer", "--alpha", "1"], "--alpha must be less than 1"),
    ("drift", ["cancer", "--alpha", "nan"], "--alpha must be more than 0"),
    ("drift", ["cancer", "--arm", "canarry"], "argument --arm: invalid choice: 'canarry'"),
    ("drift", ["cancer", "--windw", "1h"], "unknown flag --windw, did you mean --window?"),
    ("drift", ["cancer", "--win", "1h"], "unknown flag --win, did you mean --window?"),
    ("drift", ["cancer", "a", "b"], "unknown argument b"),
    ("shadow", ["cancer@1", "--sample", "2"], "--sample must be at most 1"),
    ("shadow", ["cancer@1", "--sample", "0"], "--sample must be more than 0"),
    ("up", ["--port", "99999"], "--port must be at most 65535"),
    ("up", ["--port", "0"], "--port must be at least 1"),
    ("undo", ["0"], "ID must be at least 1"),
    ("undo", ["last"], "argument ID: invalid whole number value: 'last'"),
    ("timeline", ["--limit", "10001"], "--limit must be at most 10000"),
    ("register", ["model"], "the following arguments are required: --name"),
    ("register", ["model", "--name", "m", "--train", "a", "b", "c"], "--train takes at most 2 values, 3 were given"),
    ("deploy", [], "the following arguments are required: NAME[@V]"),
]


@pytest.mark.parametrize(("verb", "words", "said"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_wrong_words_are_one_line_that_names_the_flag_and_where_help_is(verb: str, words: list[str], said: str) -> None:
    for door in ("notebook", "cli"):
        with pytest.raises(UsageError) as caught:
            grammar.parse(VERBS[verb], words, prog=verb, door=door)
        assert said in str(caught.value)
        assert str(caught.value).endswith(f"; see {verb} --help") and str(caught.value).isprintable()


def test_a_record_that_is_built_in_python_is_held_to_the_same_bounds_in_the_same_words() -> None:
    for field, value in (("alpha", 2.0), ("alpha", 0.0), ("alpha", float("nan")), ("min_rows", 0), ("max_batch", 10**6)):
        with pytest.raises(UsageError) as built:
            VERBS["deploy"](model="cancer", **{field: value})
        with pytest.raises(UsageError) as called:
            prodml_magics.deploy("cancer", **{field: value})
        assert str(built.value) == str(called.value) and str(built.value).endswith("; see help(deploy)")
    assert VERBS["deploy"](model="cancer", alpha=0.5, max_batch=None).alpha == 0.5


def test_a_function_says_bounds_by_the_names_of_its_arguments() -> None:
    with pytest.raises(UsageError, match=r"drift: last must be at least 1; see help\(drift\)"):
        prodml_magics.drift("cancer", last=0)
    with pytest.raises(UsageError, match="up takes no foreground; it takes port"):
        prodml_magics.up(foreground=True)
    with pytest.raises(UsageError, match="columns: Expected `array`, got `int`"):
        prodml_magics.drift("cancer", columns=5)


def test_help_tells_what_holds_where_a_flag_is_left_out() -> None:
    for request in VERBS.values():
        shown = " ".join(grammar.parser_of(request, "x", "cli").format_help().split())
        for field in grammar.fields_of(request, "cli"):
            assert not field.default or "default" in field.help or f"(default: {field.default})" in shown


def test_one_name_where_several_are_taken_may_stand_alone_in_python() -> None:
    assert grammar.build(Drift, {"model": "cancer", "columns": "age"}) == Drift(model="cancer", columns=("age",))


def test_the_nearest_verb_is_named_or_all_are() -> None:
    assert grammar.nearest_verb("deploi") == "did you mean deploy?"
    assert grammar.nearest_verb("qqq") == f"verbs are {', '.join(VERBS)}"
