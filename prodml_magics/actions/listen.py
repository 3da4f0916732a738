"""On which address the gateway answers, from what was asked for and what it was the last time."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path

from msgspec.structs import replace

from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import GateRefused, InvalidInput, UsageError
from prodml_magics.storage.runtime import read_runtime
from prodml_magics.storage.tokens import read_tokens
from prodml_magics.wire.requests import Up
from prodml_magics.wire.runtime import Listen

__all__ = ["listen_of"]


def listen_of(workspace: Workspace, request: Up) -> Listen:
    """What `request` says, in the place of what was said before; raises `ProdmlError` for what cannot be or should not be."""
    before = read_runtime(workspace.home / "runtime.json")
    after = before.listen if before else Listen()
    if request.host:
        after = replace(after, host=_address(request.host))
    if request.tls_cert == "none":
        if request.tls_key:
            raise UsageError("--tls-cert none takes no --tls-key")
        after = replace(after, certificate="", key="")
    elif request.tls_cert or request.tls_key:
        after = replace(after, **_pair(request.tls_cert, request.tls_key))
    if not after.loopback and not _guarded(workspace):
        raise GateRefused(
            f"on {after.host} whoever reaches the port could ask for predictions; make a token first: "
            "`prodml token NAME --scope predict`"
        )
    return after


def _address(text: str) -> str:
    if text == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise InvalidInput(f"--host {text!r} is no address; write 127.0.0.1, or 0.0.0.0 for every one of this machine") from error


def _pair(certificate: str, key: str) -> dict[str, str]:
    if not certificate or not key:
        raise UsageError("TLS takes both --tls-cert FILE and --tls-key FILE")
    paths = {"certificate": Path(certificate).absolute(), "key": Path(key).absolute()}
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(paths["certificate"], paths["key"], password=lambda: "")
    except OSError as error:  # ssl.SSLError is one as well
        reason = error.strerror or str(error)
        raise InvalidInput(
            f"{certificate} and {key} are no certificate with its key ({reason}); give PEM files, the key without a password"
        ) from error
    return {name: str(path) for name, path in paths.items()}


def _guarded(workspace: Workspace) -> bool:
    return any(scope.startswith("predict") for token in read_tokens(workspace.home).tokens for scope in token.scopes)
