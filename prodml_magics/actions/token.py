"""%token: who may ask the gateway for what. The secret is laid down in a file and shown nowhere."""

from __future__ import annotations

import secrets
from datetime import datetime
from pathlib import Path

from msgspec.structs import asdict, replace

from prodml_magics.actions.results import TokensResult
from prodml_magics.actions.services import Services
from prodml_magics.actions.windows import parse_duration
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import Conflict, NotFound, UsageError
from prodml_magics.storage.tokens import change_tokens, read_tokens, secret_digest, secret_path, write_secret
from prodml_magics.wire.names import check_name
from prodml_magics.wire.requests import Token as TokenRequest
from prodml_magics.wire.results import TokenEntry, TokensRecord
from prodml_magics.wire.tokens import Token, Tokens, is_scope

__all__ = ["token"]


def token(workspace: Workspace, request: TokenRequest) -> TokensResult:
    """Make, renew or revoke a token; every worker of the gateway knows before this returns. Without a name, list all."""
    if not request.name:
        if request.scope or request.renew or request.revoke:
            raise UsageError("name the token; `prodml token` alone lists all")
        return TokensResult(_record(read_tokens(workspace.home)))
    _check(request)
    if request.revoke:
        after, done, path = change_tokens(workspace.home, lambda before: _without(before, request.name)), "revoked", None
        secret_path(workspace.home, request.name).unlink(missing_ok=True)
    else:
        secret = secrets.token_urlsafe(32)
        after = change_tokens(workspace.home, lambda before: _with(before, request, secret, workspace))
        done, path = "renewed" if request.renew else "made", write_secret(workspace.home, request.name, secret)
    Services(workspace).sync()
    return TokensResult(_record(after, done, request.name, path))


def _check(request: TokenRequest) -> None:
    check_name(request.name, "token")
    if request.revoke and (request.renew or request.scope):
        raise UsageError("--revoke takes the token away; it goes with no other flag")
    for scope in request.scope:
        if not is_scope(scope):
            raise UsageError(f"{scope!r} is no scope; use predict, predict:NAME or admin")
        if scope.startswith("predict:"):
            check_name(scope.partition(":")[2])


def _without(before: Tokens, name: str) -> Tokens:
    _found(before, name)
    return replace(before, tokens=tuple(each for each in before.tokens if each.name != name))


def _with(before: Tokens, request: TokenRequest, secret: str, workspace: Workspace) -> Tokens:
    now = workspace.clock.now()
    others = tuple(each for each in before.tokens if each.name != request.name)
    if request.renew:
        former = _found(before, request.name)
        fresh = replace(
            former,
            sha256=secret_digest(secret),
            scopes=request.scope or former.scopes,
            former_sha256=former.sha256,
            former_until=_until(request.grace, now),
        )
    else:
        if len(others) != len(before.tokens):
            raise Conflict(f"there is a token {request.name} already; --renew gives it a new secret, --revoke takes it away")
        if not request.scope:
            raise UsageError("say what the token is for: --scope predict, predict:NAME or admin")
        fresh = Token(
            name=request.name,
            sha256=secret_digest(secret),
            scopes=request.scope,
            created_at=now,
            created_by=workspace.actor,
        )
    return replace(before, tokens=tuple(sorted((*others, fresh), key=lambda each: each.name)))


def _until(grace: str, now: datetime) -> datetime | None:
    return None if grace == "0" else now + parse_duration(grace)


def _found(tokens: Tokens, name: str) -> Token:
    for each in tokens.tokens:
        if each.name == name:
            return each
    names = ", ".join(each.name for each in tokens.tokens) or "none"
    raise NotFound(f"there is no token {name}; there are {names}")


def _record(tokens: Tokens, done: str = "", name: str = "", path: Path | None = None) -> TokensRecord:
    fields = TokenEntry.__struct_fields__
    entries = tuple(TokenEntry(**{k: v for k, v in asdict(each).items() if k in fields}) for each in tokens.tokens)
    required = any(scope.startswith("predict") for each in tokens.tokens for scope in each.scopes)
    return TokensRecord(tokens=entries, done=done, name=name, secret_file=None if path is None else str(path), required=required)
