"""Numbers, shares, sizes, spans and moments as people read them."""

from __future__ import annotations

from datetime import datetime

__all__ = ["milliseconds", "moment", "number", "share", "size", "span"]


def number(value: float | None) -> str:
    """Three significant digits, ``–`` for none."""
    return "–" if value is None else f"{value:.3g}"


def share(value: float | None) -> str:
    """A share in percent; 100 % only when it is whole."""
    if value is None:
        return "–"
    shown = f"{value:.2%}"
    return "99.99 %+" if shown == "100.00%" and value < 1 else shown.removesuffix("%").rstrip("0").rstrip(".") + " %"


def milliseconds(value: float | None) -> str:
    """Milliseconds with their unit."""
    return "–" if value is None else f"{value:.3g} ms"


def size(count: int) -> str:
    """Bytes in the unit that fits."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} GB"


def span(seconds: float) -> str:
    """A duration in the unit that fits.

    >>> span(0.25), span(5.61), span(300), span(86_400)
    ('250 ms', '5.6 s', '5 min', '24 h')
    """
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def moment(at: datetime | None) -> str:
    """Date and time to the second, UTC."""
    return "–" if at is None else at.strftime("%Y-%m-%d %H:%M:%S UTC")
