"""Packed request bodies: ``Content-Encoding: gzip`` or ``deflate``, unpacked up to the limit of a body and no further.

Answers are not packed: on loopback that takes longer than sending them, and no client has to be obeyed in it.
"""

from __future__ import annotations

import zlib

from prodml_magics.errors import InvalidInput, TooLarge

__all__ = ["unpacked"]

_EITHER = 32 + zlib.MAX_WBITS
"""zlib's word for: a gzip or a zlib header, whichever is there."""


def unpacked(body: bytes, encoding: bytes, limit: int) -> bytes:
    """`body` as it was before `encoding`; `InvalidInput` where it is not so encoded, `TooLarge` above `limit` bytes."""
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return body
    if name not in (b"gzip", b"x-gzip", b"deflate"):
        raise InvalidInput(f"Content-Encoding {ascii(encoding)[2:-1][:40]} is not served; send gzip, deflate or nothing")
    unpacker = zlib.decompressobj(_EITHER)
    try:
        found = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidInput(f"the body is not {name.decode()} ({error})") from error
    if len(found) > limit:
        raise TooLarge(f"the body unpacks to more than {limit >> 20} MiB; send fewer rows in one request")
    if not unpacker.eof or unpacker.unused_data:
        raise InvalidInput(f"the body is not one whole {name.decode()} stream")
    return found
