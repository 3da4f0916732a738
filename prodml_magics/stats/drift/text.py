"""Text that hardly repeats, as numbers: how long it is and of which characters it is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prodml_magics.errors import Unavailable

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PARTS", "is_text", "text_parts"]

_CLASSES = {
    "digits": r"\p{Nd}",
    "capitals": r"\p{Lu}",
    "spaces": r"\s",
    "marks": r"[\p{P}\p{S}]",
    "beyond ASCII": r"[^\x00-\x7F]",
}

PARTS = ("length", *_CLASSES)
"""Length in characters, and the share of the characters in each class; an empty text has shares of zero."""

_FEWEST_TEXTS = 100


def is_text(distinct: int, present: int) -> bool:
    """Whether a column of strings is text and not categories: at least 100 values, more than half of them distinct."""
    return present >= _FEWEST_TEXTS and distinct > present / 2


def text_parts(texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """The `PARTS` of each of the given texts, none of them missing, as float32 [texts]; needs pyarrow, and says so."""
    try:
        import pyarrow as pa
        import pyarrow.compute as pc
    except ImportError as error:
        raise Unavailable("texts are described with pyarrow, which is not installed; pip install pyarrow") from error
    # From buffers: `pyarrow.array` would import pandas, which takes seconds.
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    strings = pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))
    length = _whole(pc.utf8_length(strings)).astype(np.float32)
    counts = {name: _whole(pc.count_substring_regex(strings, pattern)) for name, pattern in _CLASSES.items()}
    longest = np.maximum(length, 1)
    return {"length": length, **{name: (count / longest).astype(np.float32) for name, count in counts.items()}}


def _whole(numbers: pa.Int64Array) -> NDArray[np.int64]:
    """An Arrow array without nulls; `to_numpy` would import pandas too."""
    return np.frombuffer(numbers.buffers()[1], np.int64, len(numbers)) if len(numbers) else np.zeros(0, np.int64)
