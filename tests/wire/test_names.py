"""How models and versions are written, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml_magics.errors import InvalidInput
from prodml_magics.wire.names import ALIASES, ModelReference, check_name, parse_reference

BAD_NAMES = [
    "", " ", "a/b", "a\\b", "..", "a..b", "../a", "/a", ".a", "-a", "_a", "a b", "a\n", "a\tb", "'a'", '"a"', "<script>", "😀", "é",
    "a" * 101, "a" * 300, "a%2fb", "a?b", "a#b", "a\x00", "a;b", "$(a)", "{a}",
]  # fmt: skip
GOOD_NAMES = ["a", "A9", "0", "cancer", "my-model_v1.2", "a" * 100]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_is_refused_in_one_printable_line_with_the_rule(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_name(name)
    said = str(caught.value)
    assert said.isprintable() and said.isascii() and len(said) < 200
    assert "; use 1 to 100 letters" in said


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_a_good_name_is_taken_as_it_is(name: str) -> None:
    assert check_name(name) == name
    assert parse_reference(name) == ModelReference(name)


@given(
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", fullmatch=True),
    which=st.integers(1, 2**31 - 1) | st.sampled_from(ALIASES),
)
def test_writing_and_reading_a_reference_are_inverse(name: str, which: int | str) -> None:
    reference = parse_reference(f"{name}@{which}")
    assert str(reference) == f"{name}@{which}"
    assert (reference.version if isinstance(which, int) else reference.alias) == which


@pytest.mark.parametrize(
    "which",
    ["", "0", "-1", "1.0", "two", "Live", "candidate ", "٣", "²", "1e3", "00", "1@2", "9" * 11, "1" + "0" * 5000, "2147483648"],
)
def test_a_version_that_is_none_is_refused_and_says_how_one_is_written(which: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_reference(f"cancer@{which}")
    said = str(caught.value)
    assert "write cancer@2, or one of cancer@live, cancer@previous, cancer@candidate" in said
    assert said.isprintable() and len(said) < 200


@pytest.mark.parametrize("value", [None, 3, ["cancer"], b"cancer"])
def test_a_reference_that_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="a model is written as text such as 'cancer' or 'cancer@2'"):
        parse_reference(value)  # type: ignore[arg-type]
