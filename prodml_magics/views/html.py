"""A result as an HTML card: title, facts, warnings, a table with heat, and its picture.

Everything is styled in place, because a notebook strips style sheets from outputs that it does not trust; colours come
from JupyterLab's variables, with fallbacks that read on light and dark pages.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from prodml_magics.views.picture import Picture
from prodml_magics.views.text import formatted

__all__ = ["card"]

_INK = "var(--jp-content-font-color1, inherit)"
_MUTED = "var(--jp-content-font-color2, #6b7480)"
_LINE = "var(--jp-border-color2, rgba(128, 128, 128, 0.35))"
_SURFACE = "var(--jp-layout-color1, transparent)"
_CODE = re.compile(r"`([^`]+)`")
_LONG = 32
"""Letters from which on a cell may wrap."""
_FONT = "var(--jp-ui-font-family, system-ui, sans-serif)"


def card(
    title: str,
    facts: Sequence[tuple[str, str]] = (),
    columns: Sequence[str] = (),
    rows: Sequence[Sequence[Any]] = (),
    *,
    limit: int = 20,
    heat: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
    picture: Picture | None = None,
    picture_id: str | None = None,
) -> str:
    """HTML that needs nothing from outside; every text in it is escaped.

    `heat` maps a numeric column to its colour as ``r, g, b``: cells are tinted by their share of the column's largest
    value. An element with the class ``prodml-static-<picture_id>`` holds table and picture, so that a widget that shows
    both can hide them. What stands between backticks is set as code.
    """
    parts = [
        f'<div style="font-size: 1.15em; font-weight: 600; margin-bottom: 4px">{_text(title)}</div>',
        _facts(facts),
        *(_warning(warning) for warning in warnings),
        _static(columns, rows, limit, heat or {}, picture, picture_id),
    ]
    style = f"font-family: {_FONT}; color: {_INK}; background: {_SURFACE}; padding: 8px 4px; max-width: 1000px; line-height: 1.45"
    return f'<div class="prodml-card" style="{style}">{"".join(parts)}</div>'


def _text(value: Any) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(formatted(value)))


def _static(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    limit: int,
    heat: Mapping[str, str],
    picture: Picture | None,
    picture_id: str | None,
) -> str:
    table = _table(columns, rows[:limit], heat) if rows else ""
    held = f"{table}{_more(len(rows) - limit)}{_picture(picture)}"
    return f'<div class="prodml-static-{escape(picture_id)}">{held}</div>' if picture_id else held


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    if not facts:
        return ""
    name = f'<span style="color: {_MUTED}">%s</span>'
    items = (
        f'<span style="margin-right: 22px; display: inline-block; max-width: 100%">{name % escape(key)} {_text(value)}</span>'
        for key, value in facts
    )
    return f'<div style="margin: 2px 0 8px">{" ".join(items)}</div>'


def _warning(text: str) -> str:
    style = "border-left: 3px solid #e6a700; padding: 3px 10px; margin: 4px 0; background: rgba(230, 167, 0, 0.12)"
    return f'<div role="note" style="{style}">{_text(text)}</div>'


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]], heat: Mapping[str, str]) -> str:
    largest = {i: _largest(rows, i) for i, name in enumerate(columns) if name in heat}
    head = "".join(_cell("th", escape(name), _align(rows, i)) for i, name in enumerate(columns))
    body = "".join(_row(columns, rows, row, heat, largest) for row in rows)
    style = "border-collapse: collapse; margin: 4px 0; font-size: 0.92em; color: inherit"
    header = f'<thead><tr style="border-bottom: 1px solid {_LINE}">{head}</tr></thead>'
    return f'<div style="overflow-x: auto"><table style="{style}">{header}<tbody>{body}</tbody></table></div>'


def _row(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    row: Sequence[Any],
    heat: Mapping[str, str],
    largest: Mapping[int, float],
) -> str:
    cells = (
        _cell("td", _text(value), _align(rows, i), _tint(value, largest.get(i, 0.0), heat.get(name, "")))
        for i, (name, value) in enumerate(zip(columns, row, strict=True))
    )
    return f'<tr style="background: transparent">{"".join(cells)}</tr>'


def _cell(tag: str, content: str, align: str, tint: str = "") -> str:
    weight = f"color: {_MUTED}; font-weight: 500; " if tag == "th" else ""
    width = "min-width: 8em; max-width: 34em; " if len(content) > _LONG else "white-space: nowrap; "
    return f'<{tag} style="{weight}{width}text-align: {align}; padding: 3px 10px; vertical-align: top{tint}">{content}</{tag}>'


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _align(rows: Sequence[Sequence[Any]], i: int) -> str:
    present = [row[i] for row in rows if row[i] is not None]
    return "right" if present and all(_is_number(value) for value in present) else "left"


def _largest(rows: Sequence[Sequence[Any]], i: int) -> float:
    sizes = [abs(row[i]) for row in rows if _is_number(row[i]) and math.isfinite(row[i])]
    return float(max(sizes, default=0.0))


def _tint(value: Any, largest: float, colour: str) -> str:
    if not colour or not largest or not _is_number(value) or not math.isfinite(value):
        return ""
    return f"; background: rgba({escape(colour)}, {0.55 * min(1.0, abs(value) / largest):.2f})"


def _more(hidden: int) -> str:
    rows = f"… {hidden:,} more row{'s' if hidden > 1 else ''}"
    return f'<div style="color: {_MUTED}">{rows}</div>' if hidden > 0 else ""


def _picture(picture: Picture | None) -> str:
    if picture is None:
        return ""
    style = "max-width: 100%; min-width: 480px"
    image = f'<img class="prodml-picture" alt="{escape(picture.title)}" src="{picture.data_uri()}" style="{style}">'
    return f'<div style="margin-top: 8px; overflow-x: auto">{image}</div>'
