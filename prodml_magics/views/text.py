"""Values and tables as plain text, for terminals and for the text side of every result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

__all__ = ["formatted", "text_table"]

_WIDEST = 60


def formatted(value: Any) -> str:
    """A value in few characters: four significant digits, – for nothing, yes and no, one line of text.

    >>> [formatted(value) for value in (None, True, 12_345, 0.123456, 1e-9, 1234567.8, float("inf"))]
    ['–', 'yes', '12,345', '0.1235', '1e-09', '1,234,568', '∞']
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return _short_float(value)
    return " ".join(str(value).split())


def _short_float(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if 1_000 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def text_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, limit: int = 20) -> str:
    """An aligned table of at most `limit` rows; columns of numbers are set to the right, long texts are cut with ….

    >>> print(text_table(["column", "effect"], [["age", 0.25], ["income", None]]))
    column  effect
    ──────  ──────
    age       0.25
    income       –
    """
    shown = [[_cut(formatted(value)) for value in row] for row in rows[:limit]]
    header = [_cut(formatted(name)) for name in columns]
    widths = [max(len(line[i]) for line in (header, *shown)) for i in range(len(header))]
    right = [_is_number_column([row[i] for row in rows[:limit]]) for i in range(len(header))]
    lines = [header, ["─" * width for width in widths], *shown]
    table = [_joined(line, widths, right) for line in lines]
    return "\n".join([*table, *_more(len(rows), limit)])


def _joined(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = (
        cell.rjust(width) if of_numbers else cell.ljust(width)
        for cell, width, of_numbers in zip(cells, widths, right, strict=True)
    )
    return "  ".join(padded).rstrip()


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _is_number_column(values: Sequence[Any]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in present)


def _more(rows: int, limit: int) -> list[str]:
    hidden = rows - limit
    return [f"… {hidden:,} more row{'s' if hidden > 1 else ''}"] if hidden > 0 else []
