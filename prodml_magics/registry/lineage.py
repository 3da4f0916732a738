"""Where a version comes from: code, data, packages and machine (``lineage.json``). No environment variable is kept."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np

__all__ = ["LINEAGE_FORMAT", "Git", "Lineage", "capture", "fingerprint", "read_lineage", "redact", "write_lineage"]

LINEAGE_FORMAT = 1
_GIT_TIMEOUT_S = 10

_FIELDS = {field: re.compile(rf"(?m)^{field}: *(.+?) *\r?$") for field in ("Name", "Version")}
_SECRETS = (
    re.compile(r"(AKIA|ASIA)[A-Z0-9]{16}"),
    re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|sk-[\w-]{20,}|xox[abps]-[\w-]{10,}|hf_[A-Za-z0-9]{20,})"),
    re.compile(r"(?<=://)[^\s/:@'\"]+:[^\s/@'\"]+(?=@)"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL),
)
_NAMED_SECRET = re.compile(
    r"""(?ix)(["']?[\w.-]*(?:password|passwd|secret|token|api_?key|access_?key|credential)[\w.-]*["']?\s*[\])]?\s*[=:]\s*)"""
    r"""(?:[rbuf]{0,2}"[^"\n]*"|[rbuf]{0,2}'[^'\n]*'|[^\s,;)'"]+)"""
)


class Git(msgspec.Struct, frozen=True):
    """The commit that was checked out, and whether files differed from it."""

    commit: str
    dirty: bool


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """What a version was made from."""

    git: Git | None
    """None outside a git repository, or without git."""
    python: str
    platform: str
    packages: dict[str, str]
    """Every installed package and its version."""
    data: dict[str, dict[str, str]]
    """sha256 of each column, by ``train`` and ``test``."""
    cells: tuple[str, ...]
    """Executed notebook cells in their order, secrets replaced."""
    format: int = LINEAGE_FORMAT


def capture(
    cells: Sequence[str], train: Mapping[str, np.ndarray] | None, test: Mapping[str, np.ndarray] | None, root: Path
) -> Lineage:
    """The lineage as of now; `train` and `test` are columns by name, `root` a folder of the user's repository."""
    data = {"train": train, "test": test}
    return Lineage(
        git=_git(root),
        python=platform.python_version(),
        platform=f"{platform.platform()} {sys.implementation.name}",
        packages=_packages(),
        data={part: {name: fingerprint(values) for name, values in (columns or {}).items()} for part, columns in data.items()},
        cells=tuple(redact(cell) for cell in cells),
    )


def fingerprint(values: np.ndarray) -> str:
    """sha256 over dtype, shape and values; equal data give equal text on every machine.

    >>> fingerprint(np.array([1, 2])) == fingerprint(np.array([1, 2])[::1])
    True
    """
    array = np.asarray(values)
    if array.dtype.kind in "OUT":
        body = msgspec.json.encode([None if value != value else value for value in array.tolist()], enc_hook=str)
        head = "text"
    else:
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        body, head = array.tobytes(), array.dtype.str
    return hashlib.sha256(f"{head}{array.shape}".encode() + body).hexdigest()


def redact(cell: str) -> str:
    """The text of a cell with passwords, tokens and keys replaced by ``[redacted]``.

    >>> redact("api_key = 'abc123'")
    "api_key = '[redacted]'"
    """
    cell = _NAMED_SECRET.sub(r"\1'[redacted]'", cell)
    for pattern in _SECRETS:
        cell = pattern.sub("[redacted]", cell)
    return cell


def write_lineage(lineage: Lineage) -> bytes:
    """The bytes of ``lineage.json``."""
    return msgspec.json.format(msgspec.json.encode(lineage), indent=1)


def read_lineage(data: bytes) -> Lineage:
    """Read ``lineage.json``; raises ``msgspec.ValidationError`` on another shape."""
    return msgspec.json.decode(data, type=Lineage)


def _packages() -> dict[str, str]:
    return _installed(tuple((folder, _changed(folder)) for folder in sys.path))


def _changed(folder: str) -> int:
    """When something was installed there last."""
    try:
        return Path(folder or ".").stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(1)
def _installed(folders: tuple[tuple[str, int], ...]) -> dict[str, str]:
    """Read once for each state of the folders."""
    found = dict(_name_and_version(distribution) for distribution in importlib.metadata.distributions())
    return {name: found[name] for name in sorted(filter(None, found), key=str.lower)}


def _name_and_version(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    """From the head of its metadata, which to parse whole takes ten times as long."""
    head = (distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or "").partition("\n\n")[0]
    name, version = (_FIELDS[field].search(head) for field in ("Name", "Version"))
    return (name[1], version[1]) if name and version else ("", "")


def _git(root: Path) -> Git | None:
    commit = _run_git(root, "rev-parse", "HEAD")
    status = _run_git(root, "status", "--porcelain")
    return None if commit is None or status is None else Git(commit.strip(), bool(status.strip()))


def _run_git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
