"""HTTP statuses of our errors as gRPC status codes, and the message that goes with them."""

from __future__ import annotations

import grpc
import msgspec

__all__ = ["code_of", "message_of"]

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def code_of(status: int) -> grpc.StatusCode:
    """The gRPC code of an HTTP status."""
    return _CODES.get(status, grpc.StatusCode.INTERNAL)


def message_of(payload: bytes) -> str:
    """The message in the body of a refusal."""
    return str(msgspec.json.decode(payload)["error"])
