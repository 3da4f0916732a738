"""The colours of every picture and widget, told apart with any colour vision (after Okabe & Ito 2008)."""

from __future__ import annotations

__all__ = ["ALARM", "CALM", "CURRENT", "FONT", "GRID", "INK", "MUTED", "REFERENCE", "UNSURE", "VERSIONS"]

REFERENCE = "#0072b2"
CURRENT = "#d55e00"
ALARM = "#d55e00"
UNSURE = "#e6a700"
CALM = "#8fa3b5"
INK = "#757f89"
MUTED = "#757f89"
"""Of text and lines, which lie on the page itself: nearly 4 to 1 against white as against JupyterLab's dark #212121."""
GRID = "#80808040"
VERSIONS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999", "#b8a900")
FONT = "DejaVu Sans, Segoe UI, Helvetica Neue, Arial, sans-serif"
