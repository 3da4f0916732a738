"""Tokens are made, renewed and revoked; their secrets stand in files of their owner and nowhere else."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from homes import workspace_at

from prodml_magics.actions.token import token
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import Conflict, InvalidInput, NotFound, Unavailable, UsageError
from prodml_magics.storage.tokens import read_tokens, secret_digest
from prodml_magics.wire.requests import Token


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return workspace_at(tmp_path / ".prodml")


def secret_of(record) -> str:
    path = Path(record.secret_file)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path.read_text().strip()


def test_a_token_is_made_and_its_secret_is_only_in_its_file(workspace: Workspace) -> None:
    result = token(workspace, Token(name="shop", scope=("predict:cancer", "predict:shop")))
    secret = secret_of(result.record)
    assert len(secret) >= 40
    (kept,) = read_tokens(workspace.home).tokens
    assert (kept.sha256, kept.scopes) == (secret_digest(secret), ("predict:cancer", "predict:shop"))
    shown = str(result) + str(result.to_dict()) + repr(result)
    assert secret not in shown and kept.sha256 not in shown
    assert "need a token" in str(result)
    others = [path for path in workspace.home.rglob("*") if path.is_file() and path != Path(result.record.secret_file)]
    assert not any(secret.encode() in path.read_bytes() for path in others)


def test_renewing_keeps_the_former_secret_for_a_while_and_revoking_ends_both(workspace: Workspace) -> None:
    first = secret_of(token(workspace, Token(name="shop", scope=("predict",))).record)
    second = secret_of(token(workspace, Token(name="shop", renew=True, grace="1h")).record)
    (kept,) = read_tokens(workspace.home).tokens
    assert first != second
    assert (kept.sha256, kept.former_sha256, kept.scopes) == (secret_digest(second), secret_digest(first), ("predict",))
    assert kept.former_until is not None
    assert timedelta(minutes=59) < kept.former_until - datetime.now(UTC) <= timedelta(hours=1)
    assert token(workspace, Token(name="shop", renew=True, grace="0")).record.tokens[0].former_until is None
    revoked = token(workspace, Token(name="shop", revoke=True)).record
    assert (revoked.tokens, revoked.required) == ((), False)
    assert not list((workspace.home / "secrets").iterdir())


@pytest.mark.parametrize(
    ("flags", "error", "said"),
    [
        ({"name": "shop"}, UsageError, "--scope predict"),
        ({"name": "shop", "scope": ("write",)}, UsageError, "'write' is no scope"),
        ({"name": "shop", "scope": ("predict:../x",)}, Exception, "cannot name a model"),
        ({"name": "a/b", "scope": ("admin",)}, InvalidInput, "'a/b' cannot name a token; use 1 to 100 letters"),
        ({"name": "shop@2", "scope": ("admin",)}, InvalidInput, "'shop@2' cannot name a token; use"),
        ({"name": "nobody", "revoke": True}, NotFound, "there is no token nobody; there are old"),
        ({"name": "nobody", "renew": True}, NotFound, "there is no token nobody"),
        ({"name": "old", "scope": ("admin",)}, Conflict, "--renew"),
        ({"name": "old", "revoke": True, "renew": True}, UsageError, "no other flag"),
        ({"scope": ("admin",)}, UsageError, "name the token"),
        ({"name": "old", "renew": True, "grace": "soon"}, UsageError, "'soon' is not a duration"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(workspace: Workspace, flags, error, said) -> None:
    token(workspace, Token(name="old", scope=("predict",)))
    before = {path: path.read_bytes() for path in workspace.home.rglob("*") if path.is_file()}
    with pytest.raises(error, match=said):
        token(workspace, Token(**flags))
    assert {path: path.read_bytes() for path in workspace.home.rglob("*") if path.is_file()} == before


def test_a_damaged_file_or_one_of_a_newer_release_is_not_taken_for_an_open_door(workspace: Workspace) -> None:
    token(workspace, Token(name="old", scope=("predict",)))
    path = workspace.home / "tokens.json"
    for content in (b"{", msgspec.json.encode({"tokens": [], "format": 99})):
        path.write_bytes(content)
        with pytest.raises(Unavailable):
            token(workspace, Token())
