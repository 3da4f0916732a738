"""One block of the request log: what one turn of a gateway worker answered for one arm, checksummed.

A block on disk is ``header (16 bytes: magic, format, length, crc32 of all the rest) + payload (MessagePack)``. Blocks are
appended with one write each before the replies leave, so that acknowledged means logged; a torn tail is a block whose replies
never left. Format 1; a reader must go on reading every older format.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Literal

import msgspec

__all__ = ["BLOCK_FORMAT", "Array", "Block", "pack", "unpack"]

BLOCK_FORMAT = 1
_MAGIC = b"PMLB"
_HEAD = struct.Struct("<4sII")
_CHECKSUM = struct.Struct("<I")
_LIMIT = 1 << 30


class Array(msgspec.Struct, frozen=True, array_like=True):
    """A tensor: numpy dtype string, shape and little-endian bytes; texts are kept as a list."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes = b""
    texts: list[str | None] | None = None


class Block(msgspec.Struct, frozen=True, array_like=True):
    """Rows of one model, version and arm that were answered (or refused after routing) together.

    `arm` is ``rejected`` for a request of a rollout that broke the contract of the version that it was to go to: one row without inputs.

    `sequence` is the number of the first row in the stream of its writer; rows are numbered on from it. `request_rows[i]` rows
    belong to request ``request_ids[i]``, received at ``received_at[i]`` (seconds since 1970, UTC). `run_ms` is the
    time of the model run that all of them shared.
    """

    model: str
    version: int
    arm: Literal["live", "canary", "shadow", "direct", "fallback", "cache", "rejected"]
    sequence: int
    request_ids: list[str]
    request_rows: list[int]
    received_at: list[float]
    latency_ms: list[float]
    run_ms: float
    status: list[int]
    keys: list[str]
    inputs: dict[str, Array]
    outputs: dict[str, Array] | None
    mirrors: list[int] | None = None
    """For shadow rows: the sequence number of the live row that each one mirrors."""
    rollout: int = 0
    """The rollout in which these requests were randomised; 0 for none."""
    share: float = 0.0
    """The probability with which each of them was the canary's."""
    log_share: float = 1.0
    """The probability with which each of them was logged."""

    @property
    def rows(self) -> int:
        return sum(self.request_rows)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Block)


def pack(block: Block) -> bytes:
    """The bytes to append for `block`."""
    payload = _encoder.encode(block)
    head = _HEAD.pack(_MAGIC, BLOCK_FORMAT, len(payload))
    return head + _CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(head))) + payload


def unpack(data: bytes, offset: int = 0) -> Iterator[tuple[int, Block]]:
    """Yield ``(offset behind the block, block)`` for each whole block of `data` from `offset` on; stop at a torn tail.

    A block whose checksum is wrong in the middle of a segment stops the reading as well: whatever follows it cannot be trusted
    to start where it seems to.
    """
    size = _HEAD.size + _CHECKSUM.size
    view = memoryview(data)
    while offset + size <= len(data):
        magic, version, length = _HEAD.unpack_from(data, offset)
        (checksum,) = _CHECKSUM.unpack_from(data, offset + _HEAD.size)
        start = offset + size
        payload = view[start : start + length]
        if magic != _MAGIC or version > BLOCK_FORMAT or length > _LIMIT or len(payload) < length:
            return
        if zlib.crc32(payload, zlib.crc32(view[offset : offset + _HEAD.size])) != checksum:
            return
        offset = start + length
        yield offset, _decoder.decode(payload)
