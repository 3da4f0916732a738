"""Which version answers a request while a canary runs: chosen by routing key, the same for the same key, more keys at a larger share.

The key is the header's, or the value of a column; a segment leaves all other rows to the live version, outside the rollout.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from prodml_magics.contract.columns import ColumnReader, ValueReader
from prodml_magics.serving.marker import ShadowMarker
from prodml_magics.serving.version import LoadedVersion

if TYPE_CHECKING:
    from prodml_magics.serving.batcher import Lane

__all__ = ["MarkedVersion", "Split", "position"]


def position(key: bytes, salt: bytes) -> float:
    """Where `key` lies in [0, 1): uniform over keys, independent between salts, the same on every worker and after every restart.

    A key is the canary's when it lies below the share, so that whoever is in at 5 % stays in at 25 %.
    """
    return int.from_bytes(blake2b(key, digest_size=8, salt=salt).digest(), "big") / 2**64


class Split:
    """The two lanes of a rollout and the share of keys that go to the canary."""

    def __init__(
        self,
        control: Lane,
        canary: Lane,
        share: float,
        salt: str,
        key: ColumnReader | None = None,
        segment: ValueReader | None = None,
    ) -> None:
        self.control = control
        self.canary = canary
        self._key = key
        self._segment = segment
        self.by_rows = key is not None or segment is not None
        """Whether a request has to be read before it is known who answers it."""
        self._share = share
        # blake2b takes 16 bytes of salt; a longer one is shortened by its own hash.
        self._salt = blake2b(salt.encode(), digest_size=16).digest()

    def lane(self, key: bytes) -> Lane:
        """Who answers `key`."""
        return self.canary if position(key, self._salt) < self._share else self.control

    def unread(self, header: bytes, own: str) -> Lane | None:
        """Who a request that nobody could read would go to by its header, else at random; None where a segment is split."""
        return None if self._segment is not None else self.lane(header or own.encode())

    def place(self, tensors: Mapping[str, np.ndarray], header: bytes, own: str) -> tuple[Lane | None, str]:
        """Who answers a request with these rows, None when it lies outside the segment; and the key that is logged.

        The first row of a request speaks for its key; all of them have to be in the segment. The value of a column is logged as a
        digest, salted by the rollout: columns may be masked, and all that counts is which requests share it.
        """
        if self._segment is not None and not self._segment.in_every_row(tensors):
            return None, header.decode("latin-1")
        value = self._key.first(tensors) if self._key is not None else ""
        if not value:
            return self.lane(header or own.encode()), header.decode("latin-1")
        key = blake2b(value.encode(), digest_size=8, salt=self._salt).hexdigest()
        return self.lane(key.encode()), key


class MarkedVersion:
    """A version that leaves its name in a file while it runs, so that a native crash can be laid at its door."""

    def __init__(self, version: LoadedVersion, marker: ShadowMarker) -> None:
        self._version = version
        self.marker = marker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._version, name)
