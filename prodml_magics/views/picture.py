"""A static picture: SVG for the page, PNG where that is all that can be shown."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from prodml_magics.views.palette import FONT, GRID, INK, MUTED

__all__ = ["PERCENT", "WIDTH", "Picture", "render", "wrapped"]

WIDTH = 760
"""Pixels that fit the output area of a notebook."""

PERCENT = "round(datum.value * 1000) / 10 + ' %'"
"""How an axis of shares is labelled, as an expression of Vega: ``20 %``, as percents are written everywhere."""


@dataclass(frozen=True)
class Picture:
    """A drawing as SVG text that loads nothing; `title` says what it shows, for those who cannot see it."""

    svg: str
    title: str

    def png(self, scale: float = 2.0) -> bytes:
        """The picture as PNG; a scale of 2 is sharp on a dense screen."""
        import vl_convert

        png: bytes = vl_convert.svg_to_png(self.svg, scale=scale)
        return png

    def data_uri(self) -> str:
        """The SVG as an address for ``<img src>``."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()


def render(chart: Any, title: str, subtitle: str = "") -> Picture:
    """Draw an altair chart in the style of the house, under a title that states the finding."""
    import vl_convert

    titled = chart.properties(title={"text": wrapped(title, 80), "subtitle": wrapped(subtitle, 110)})
    svg = vl_convert.vegalite_to_svg(styled(titled).to_dict(), vl_version="6.4")
    return Picture(svg, title)


def wrapped(text: str, width: int) -> list[str]:
    """Wrap at spaces, so that a long title is not cut off."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines if text else []


def styled(chart: Any) -> Any:
    """The one look: system font, quiet axes, no frame."""
    axis = {
        "labelColor": MUTED,
        "titleColor": MUTED,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelFlush": False,
    }
    lines = {"gridColor": GRID, "domainColor": GRID, "tickColor": GRID}
    title = {"anchor": "start", "color": INK, "fontSize": 15, "offset": 14, "subtitleColor": MUTED, "subtitleFontSize": 11.5}
    return (
        chart.configure(background="transparent", font=FONT, padding=14)
        .configure_view(stroke=None)
        .configure_axis(**axis, **lines)
        .configure_title(**title, subtitlePadding=5, frame="group")
        .configure_legend(labelColor=INK, labelFontSize=11, titleColor=MUTED, titleFontSize=11, symbolType="square")
    )
