"""Shares as people read them."""

from __future__ import annotations

__all__ = ["percent"]


def percent(share: float, digits: int = 1) -> str:
    """A share in percent with at most so many digits behind the point.

    >>> percent(0.2), percent(0.4071), percent(0.99951, 3)
    ('20 %', '40.7 %', '99.951 %')
    """
    shown = f"{100 * share:.{digits}f}"
    return (shown.rstrip("0").rstrip(".") if "." in shown else shown) + " %"
