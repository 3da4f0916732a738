"""The drift result as a widget: a sortable table with heat, and any column's reference beside now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["drift_widget"]

_STATIC = Path(__file__).parent / "static"


def drift_widget(
    rows: Sequence[Mapping[str, Any]], details: Mapping[str, Mapping[str, Any]], summary: Mapping[str, Any], picture_id: str
) -> Any:
    """An ``anywidget.AnyWidget`` that draws with plain SVG and loads nothing.

    `rows` are those of a `Detection`'s frame, `details` map column names to `ColumnDetail.to_dict()`, `summary` has
    ``title`` and ``facts`` (pairs of texts). While it is shown, elements of the class ``prodml-static-<picture_id>``
    (table and picture of the same result) are hidden; where there are none, it says title and facts itself.
    """
    return _widget_class()(
        rows=[dict(row) for row in rows],
        details={name: dict(detail) for name, detail in details.items()},
        summary=dict(summary),
        picture_id=picture_id,
    )


@cache
def _widget_class() -> Any:
    """The class, made once and on use, because its base is an import of half a second."""
    import anywidget
    import traitlets

    class DriftWidget(anywidget.AnyWidget):
        _esm = _STATIC / "drift.js"
        _css = _STATIC / "drift.css"
        rows: Any = traitlets.List().tag(sync=True)
        details: Any = traitlets.Dict().tag(sync=True)
        summary: Any = traitlets.Dict().tag(sync=True)
        picture_id = traitlets.Unicode().tag(sync=True)
        selected = traitlets.Unicode(allow_none=True, default_value=None).tag(sync=True)

    return DriftWidget
