"""Amounts of memory as people type them."""

from __future__ import annotations

import re

from prodml_magics.errors import UsageError

__all__ = ["parse_size"]

_SIZE = re.compile(r"(\d{1,9}(?:\.\d+)?)\s*([kmg])(i?)b\Z", re.IGNORECASE)
_POWERS = {"k": 1, "m": 2, "g": 3}


def parse_size(text: str, flag: str) -> int:
    """Bytes of ``64MB``, ``1.5GiB`` or ``500kB``: powers of 1000, or of 1024 with an i.

    >>> parse_size("64MB", "--cache"), parse_size("1.5 GiB", "--cache")
    (64000000, 1610612736)
    """
    match = _SIZE.match(text.strip())
    size = int(float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2].lower()]) if match else 0
    if not size:
        raise UsageError(f"{flag} {text!r} is not an amount of memory; write 64MB or 1GiB")
    return size
