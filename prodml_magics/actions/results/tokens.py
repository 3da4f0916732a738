"""What `token` returns."""

from __future__ import annotations

from prodml_magics.actions.formats import moment
from prodml_magics.actions.results.base import Result, Table
from prodml_magics.wire.results import TokensRecord

__all__ = ["TokensResult"]


class TokensResult(Result[TokensRecord]):
    """Tokens without their secrets."""

    @property
    def title(self) -> str:
        each = self.record
        if each.done:
            return f"token {each.name} {each.done}"
        return f"{len(each.tokens)} token{'' if len(each.tokens) == 1 else 's'}" if each.tokens else "no tokens"

    def facts(self) -> list[tuple[str, str]]:
        found = [("secret", f"in {self.record.secret_file}")] if self.record.secret_file else []
        return [*found, ("predictions", "need a token" if self.record.required else "are open to whoever reaches the port")]

    def table(self) -> Table:
        names = ("token", "scopes", "made", "by", "former secret counts until")
        return names, [
            (each.name, " ".join(each.scopes), moment(each.created_at), each.created_by, moment(each.former_until))
            for each in self.record.tokens
        ]
