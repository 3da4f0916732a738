"""What stands behind a magic's name, as words."""

from __future__ import annotations

from typing import Any

import pytest

from prodml_magics.errors import UsageError
from prodml_magics.magics.words import lookup, split

NAMES: dict[str, Any] = {"a": 3, "d": {"k k": "v w"}, "frame": object(), "path": "held out.csv", "rows": [1, 2], "limit": 1}

LINES = [
    ("", []),
    ("   ", []),
    ("cancer --last 5", ["cancer", "--last", "5"]),
    ('--why "two words"', ["--why", "two words"]),
    ("--why 'it # says' x", ["--why", "it # says", "x"]),
    (r"--why two\ words", ["--why", "two words"]),
    ('a"b"c', ["abc"]),
    ('cancer # trailing {unknown} "comment', ["cancer"]),
    ("#all of it", []),
    ("--why issue#12", ["--why", "issue#12"]),
    ('--why "#12" x', ["--why", "#12", "x"]),
    ("--last {a}", ["--last", "3"]),
    ("--last {a + 1}", ["--last", "4"]),
    ('--why {d["k k"]}', ["--why", "v w"]),
    ("{path}", ["held out.csv"]),
    ("x{a}y{a}", ["x3y3"]),
    ("'{a}' \"{a}\"", ["3", "3"]),
    ("{len(rows)}", ["2"]),
    ("{sum(x for x in rows if x > limit)}", ["2"]),
    ("{{a}} {a}", ["{a}", "3"]),
    ("--why {'# no comment'}", ["--why", "# no comment"]),
]


@pytest.mark.parametrize(("line", "words"), LINES, ids=[line for line, _ in LINES])
def test_a_line_is_read_as_a_shell_reads_it_with_expressions_in_braces(line: str, words: list[str]) -> None:
    assert split(line, NAMES) == words


WRONG = [
    ('--why "open', "the line cannot be read (no closing quotation); close the quote"),
    ("--why it's", "the line cannot be read (no closing quotation); close the quote"),
    ("{framee}", "there is no framee in this notebook; did you mean frame?"),
    ("{zzzz}", "there is no zzzz in this notebook; run the cell that defines it first"),
    ("{1 / 0}", "1 / 0 cannot be evaluated (ZeroDivisionError: division by zero); try it in a cell of its own"),
    ("{a b}", "a b cannot be evaluated (SyntaxError:"),
]


@pytest.mark.parametrize(("line", "said"), WRONG, ids=[line for line, _ in WRONG])
def test_what_cannot_be_read_is_refused_in_one_line(line: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        split(line, NAMES)
    assert str(caught.value).startswith(said) and str(caught.value).isprintable()


def test_a_word_is_an_object_a_file_or_an_expression() -> None:
    assert lookup("frame", NAMES) is NAMES["frame"]
    assert lookup("d['k k']", NAMES) == "v w"
    assert lookup("some/model.ONNX", NAMES) == "some/model.ONNX"
    with pytest.raises(UsageError, match="did you mean frame"):
        lookup("fram", NAMES)


def test_an_expression_leaves_the_namespace_as_it_was() -> None:
    names = dict(NAMES)
    split("{[a for a in rows]} {(b := 1)}", names)
    assert names == NAMES
