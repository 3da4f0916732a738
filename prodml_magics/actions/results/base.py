"""What every action returns: a record, a polars frame on request, and ways to show it that load on use."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from prodml_magics.actions.formats import moment

if TYPE_CHECKING:
    import polars as pl

    from prodml_magics.views.picture import Picture

__all__ = ["R", "Result", "Table", "seen"]


R = TypeVar("R", bound=msgspec.Struct)


Table = tuple[Sequence[str], Sequence[Sequence[Any]]]


class Result(Generic[R]):
    """A record that shows itself: text in a terminal, table and static picture in a notebook, a widget beside them in Jupyter.

    A subclass says its title, its facts and its table; nothing here knows more of the drawing than that.
    """

    limit = 20
    heat: Mapping[str, str] = {}
    heads: Mapping[str, str] = {}
    """What people read above a column in place of its name, which frame and record keep."""

    def __init__(self, record: R) -> None:
        self.record = record
        self._picture_id = secrets.token_hex(4)

    def __getattr__(self, name: str) -> Any:
        # The fields of the record are the fields of the result: `.version`, `.url`, `.drifted`.
        if name.startswith("_") or name == "record":
            raise AttributeError(name)
        return getattr(self.record, name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.record.__struct_fields__]

    def to_dict(self) -> dict[str, Any]:
        """The record as ``--json`` prints it: text, numbers, lists and mappings."""
        value: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self.record))
        return value

    @property
    def title(self) -> str:
        """One phrase that says what was found or done."""
        raise AssertionError("every result has a title")

    def facts(self) -> list[tuple[str, str]]:
        """Label and value of what stands above the table."""
        return []

    def table(self) -> Table:
        """Column names and rows; both empty when there is no table."""
        return (), ()

    def warnings(self) -> Sequence[str]:
        """Lines that must not be overlooked."""
        return ()

    def picture(self) -> Picture | None:
        """The static picture, none when there is nothing to draw."""
        return None

    def widget(self) -> Any:
        """The interactive view, none when there is none."""
        return None

    @property
    def frame(self) -> pl.DataFrame:
        """The table as a polars frame."""
        import polars as pl

        names, rows = self.table()
        return pl.DataFrame([list(row) for row in rows], schema=list(names), orient="row", infer_schema_length=None)

    def __str__(self) -> str:
        from prodml_magics.views.text import text_table

        lines = [self.title, *_fact_lines(self.facts())]
        lines += [f"  ! {warning}" for warning in self.warnings()]
        names, rows = self.table()
        return "\n".join([*lines, text_table(self._headed(names), rows, limit=self.limit)] if rows else lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from prodml_magics.views.html import card

        names, rows = self.table()
        return card(
            self.title,
            self.facts(),
            self._headed(names),
            rows,
            limit=self.limit,
            heat={self.heads.get(name, name): colour for name, colour in self.heat.items()},
            warnings=self.warnings(),
            picture=self.picture(),
            picture_id=self._picture_id,
        )

    def _headed(self, names: Sequence[str]) -> list[str]:
        return [self.heads.get(name, name) for name in names]

    def _ipython_display_(self) -> None:
        """Two outputs: text, table and picture always; the widget only where a Jupyter server runs the kernel."""
        from IPython.display import display, publish_display_data

        publish_display_data({"text/plain": str(self), "text/html": self._repr_html_()})
        if os.environ.get("JPY_SESSION_NAME") and (widget := self.widget()) is not None:
            display(widget)


def _fact_lines(facts: Sequence[tuple[str, str]]) -> list[str]:
    """``label: value`` each; one without a label goes on where the value before it began."""
    lines: list[str] = []
    indent = ""
    for label, value in facts:
        indent = " " * (len(label) + 4) if label else indent
        lines.append(f"  {label}: {value}" if label else f"{indent}{value}")
    return lines


def seen(until: Any) -> tuple[str, ...]:
    """A note where the controller is down: what was answered since `until` is not seen."""
    if until is None:
        return ()
    return (f"the controller is down: rows answered after {moment(until)} are not seen; start it with %up",)
