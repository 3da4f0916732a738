from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from prodml_magics.views.html import card
from prodml_magics.views.picture import Picture

_EVIL = "<script>alert('x')</script>\"&"


class _Tags(HTMLParser):
    """Collects tags, and fails on one that is closed without having been opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _tags(html: str) -> list[str]:
    parser = _Tags()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser.seen


def test_every_text_is_escaped() -> None:
    picture = Picture("<svg xmlns='http://www.w3.org/2000/svg'/>", _EVIL)
    html = card(
        _EVIL, [(_EVIL, _EVIL)], [_EVIL], [[_EVIL]], heat={_EVIL: _EVIL}, warnings=[_EVIL], picture=picture, picture_id=_EVIL
    )
    assert set(_tags(html)) == {"div", "span", "table", "thead", "tbody", "tr", "th", "td", "img"}
    assert "<script" not in html


def test_heat_follows_the_size_of_numbers_only() -> None:
    html = card("t", columns=["a", "b"], rows=[[1.0, 9], [-2.0, 9], [None, 9], [float("inf"), 9]], heat={"a": "1, 2, 3"})
    assert re.findall(r"rgba\(1, 2, 3, ([\d.]+)\)", html) == ["0.28", "0.55"]


def test_rows_beyond_the_limit_are_counted() -> None:
    html = card("t", columns=["a"], rows=[[i] for i in range(25)], limit=20)
    assert (html.count("<td"), "… 5 more rows" in html) == (20, True)


def test_names_between_backticks_are_code_and_what_stands_in_them_is_escaped() -> None:
    html = card("`a<b`", [("because", "`mean radius` moved, `b")], ["reason"], [["`c`"]], warnings=["`d`"])
    assert re.findall("<code>(.*?)</code>", html) == ["a&lt;b", "mean radius", "d", "c"]
    assert " moved, `b<" in html


def test_table_and_picture_can_be_found_by_their_id_and_are_inside_the_page() -> None:
    html = card("t", [("f", "value")], ["c"], [[1]], picture=Picture("<svg/>", "a finding"), picture_id="p1")
    assert html.index("value") < html.index('class="prodml-static-p1"') < html.index("<table") < html.index("<img")
    assert '<img class="prodml-picture" alt="a finding" src="data:image/svg+xml;base64,PHN2Zy8+"' in html


@pytest.mark.parametrize("scheme", ["http:", "https:", "//cdn", "<link", "@import"])
def test_nothing_is_loaded_from_elsewhere(scheme: str) -> None:
    assert scheme not in card("t", [("a", "b")], ["c"], [[1]], warnings=["w"], picture=Picture("<svg/>", "x"), picture_id="p")
