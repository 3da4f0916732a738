"""Requests that no honest client sends, as the bytes of one connection; a seed tells which."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

PATHS = [
    "/v2/models/cancer/infer", "/v2/models/cancer/versions/1/infer", "/predict/cancer", "/invocations",
    "/models/cancer/invocations", "/v2/repository/index", "/v2/repository/models/cancer/load", "/admin/load",
]  # fmt: skip
_NAMES = [
    "..", "%2e%2e", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "cancer%00", "cancer%0d%0aSet-Cookie:x", "%ff%fe", "a" * 299, "a" * 4000,
    "cancer@1", "cancer%20", "{model}", "$(id)", "'; drop table events;--", "%E2%80%AE", "cancer/..", "", "%", "%zz", "…",
]  # fmt: skip
_VALUES: list[Any] = [
    None, True, -1, 0, 1.5, 1e308, 10**300, -(10**40), "", "NaN", "\u0000", "é" * 50, [], [[]], [None], {}, {"a": {}}, [[1], [2, 3]],
    "x" * 5000, [1] * 31, [[0.5] * 30] * 2, [["a"] * 30], ["FP32"], 2**63, 2**31, -0.0,
]  # fmt: skip


def valid_body() -> dict[str, Any]:
    """An inference request that is answered, but for what is done to it."""
    tensor = {"name": "input", "shape": [1, 30], "datatype": "FP32", "data": [0.5] * 30, "parameters": {}}
    return {"id": "me", "inputs": [tensor], "outputs": [{"name": "label", "parameters": {}}], "parameters": {}}


def mutated(rng: random.Random, value: Any) -> Any:
    """`value` with one of its parts, at any depth, replaced, removed, repeated or renamed."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        changed = dict(value)
        match rng.randrange(5):
            case 0:
                del changed[key]
            case 1:
                changed[key + "x"] = changed.pop(key)
            case 2:
                name = rng.choice(["binary_data_size", "classification", "binary_data", "shared_memory_region", "params"])
                changed[name] = rng.choice(_VALUES)
            case _:
                changed[key] = mutated(rng, changed[key])
        return changed
    if isinstance(value, list) and value and rng.random() < 0.7:
        index = rng.randrange(len(value))
        part = mutated(rng, value[index])
        return rng.choice([[*value, part], value[:index], [*value[:index], part, *value[index + 1 :]], value * 2])
    return rng.choice(_VALUES)


def _http(path: str, body: bytes, headers: str = "", method: str = "POST", length: int | None = None) -> bytes:
    line = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    return f"{line}Content-Length: {len(body) if length is None else length}\r\n{headers}\r\n".encode() + body


def _json(rng: random.Random) -> bytes:
    body: Any = valid_body()
    for _ in range(rng.randrange(1, 4)):
        body = mutated(rng, body)
    return _http(rng.choice(PATHS), json.dumps(body).encode())


def _deep(rng: random.Random) -> bytes:
    depth = rng.choice([100, 990, 1100, 5000, 100_000])
    inner = rng.choice([b"[", b'{"a":', b'{"inputs":[{"name":"input","shape":[1,30],"datatype":"FP32","data":'])
    return _http(rng.choice(PATHS), inner * depth + (b"1" + b"]" * depth if rng.random() < 0.5 else b""))


def _numbers(rng: random.Random) -> bytes:
    digits = rng.choice(
        [b"1" * rng.choice([20, 310, 4299, 4301, 50_000]), b"1e" + b"9" * 50, b"0." + b"0" * 9999 + b"1", b"-", b"0x1"]
    )
    values = b",".join([digits] * 30)
    shape = rng.choice([b"1,30", digits, b"1," + digits])
    tensor = b'{"inputs":[{"name":"input","shape":[%b],"datatype":"FP32","data":[%b]}]}' % (shape, values)
    return _http(rng.choice(PATHS), tensor)


def _binary(rng: random.Random) -> bytes:
    data = rng.randbytes(rng.choice([0, 1, 119, 120, 121, 240]))
    datatype = rng.choice(["FP32", "BYTES", "BOOL", "BF16", "FP64"])
    size = rng.choice([len(data), 0, 120, -1, 2**40, "120", None, True, 1.5])
    parameters = {"binary_data_size": size}
    tensor = {"name": "input", "shape": [1, 30], "datatype": datatype, "parameters": parameters}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    length = rng.choice([str(len(head)), "0", "-1", "9" * 30, "", "x", str(len(head) + 1), str(len(head) - 1), "1e3", "٣"])
    return _http(PATHS[rng.randrange(2)], head + data, f"Inference-Header-Content-Length: {length}\r\n")


def _noise(rng: random.Random) -> bytes:
    body = bytearray(json.dumps(valid_body()).encode())
    for _ in range(rng.randrange(1, 12)):
        body[rng.randrange(len(body))] = rng.randrange(256)
    return _http(rng.choice(PATHS), bytes(body))


def _path(rng: random.Random) -> bytes:
    name = rng.choice(_NAMES)
    template = rng.choice([
        "/v2/models/{}/infer", "/v2/models/{}", "/v2/models/{}/ready", "/v2/models/cancer/versions/{}/infer", "/predict/{}",
        "/v2/models/cancer/versions/{}", "/models/{}/invocations", "/v2/repository/models/{}/load", "/{}", "/v2/{}", "/admin/{}",
        "/v2/models/{}/stats", "/v2/models/{}/config", "//{}", "/v2/models/cancer/infer?{}", "/v2/models/cancer/infer#{}",
    ])  # fmt: skip
    method = rng.choice(["POST", "GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"])
    return _http(template.format(name).replace(" ", "%20"), json.dumps(valid_body()).encode(), method=method)


def _headers(rng: random.Random) -> bytes:
    name = rng.choice(["X-Request-Id", "X-Prodml-Key", "X-Prodml-Deadline-Ms", "Content-Encoding", "Authorization", "Expect",
                       "Content-Type", "Transfer-Encoding", "Host", "Upgrade", "Accept-Encoding", "X\u00e9"])  # fmt: skip
    value = rng.choice(["", "a" * 201, "a" * 20_000, "\u00e9", "\x7f", "a\x0bb", "a\rb", "-1", "9" * 40, "gzip", "chunked", "h2c",
                        "100-continue", "Bearer " + "x" * 999, "\x00", "1.5", "br, gzip"])  # fmt: skip
    repeated = rng.choice([1, 1, 1, 2, 200])
    return _http(rng.choice(PATHS), json.dumps(valid_body()).encode(), f"{name}: {value}\r\n" * repeated)


def _framing(rng: random.Random) -> bytes:
    body = json.dumps(valid_body()).encode()
    path = rng.choice(PATHS)
    chunked = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    packed = gzip.compress(body)
    broken = packed[: rng.randrange(len(packed))]
    return rng.choice([
        _http(path, body, length=len(body) + 10),
        _http(path, body, length=max(len(body) - 10, 0)),
        _http(path, body, "Content-Length: 5\r\n"),
        _http(path, body, length=-5),
        _http(path, body, length=10**30),
        chunked + b"zz\r\n" + body,
        chunked + b"%x\r\n%b\r\n" % (len(body), body),
        chunked + b"ffffffffffffffffff\r\n",
        chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
        _http(path, broken, "Content-Encoding: gzip\r\n"),
        _http(path, gzip.compress(b"[" * 100_000), "Content-Encoding: gzip\r\n"),
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST\r\n\r\n",
        rng.randbytes(rng.randrange(1, 300)),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n" * 1000,
        b"A" * 70_000,
    ])  # fmt: skip


_KINDS: list[Callable[[random.Random], bytes]] = [_json, _json, _deep, _numbers, _binary, _noise, _path, _headers, _framing]


def malformed(seed: int, count: int) -> Iterator[bytes]:
    """`count` requests, of every kind in turn."""
    rng = random.Random(seed)
    for index in range(count):
        yield _KINDS[index % len(_KINDS)](rng)
