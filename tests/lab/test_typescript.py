"""The TypeScript interfaces say what the records say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from prodml_magics.wire import typescript
from prodml_magics.wire.requests import Rollback

_WIRE_TS = Path(__file__).parents[2] / "extension" / "src" / "wire.ts"


class Inner(msgspec.Struct):
    """Inside."""

    kind: Literal["b", "a"]


class Outer(msgspec.Struct):
    """All that a field can be.

    More about it.
    """

    share: Annotated[float, msgspec.Meta(gt=0)]
    anything: Any
    inner: Inner | None = None
    several: tuple[Inner, ...] = ()
    either: tuple[int | str, ...] = ()
    by_name: dict[str, bool] = {}


def test_wire_ts_is_up_to_date() -> None:
    assert _WIRE_TS.read_text() == typescript.module(), (
        "extension/src/wire.ts is stale; run python -m prodml_magics.wire.typescript > extension/src/wire.ts"
    )


def test_every_kind_of_field_has_its_type() -> None:
    assert typescript.interface(Outer) == (
        "/** All that a field can be. */\n"
        "export interface Outer {\n"
        "  share: number;\n"
        "  anything: unknown;\n"
        "  inner: Inner | null;\n"
        "  several: Inner[];\n"
        "  either: (number | string)[];\n"
        "  by_name: Record<string, boolean>;\n"
        "}\n"
    )
    assert "  kind: 'a' | 'b';\n" in typescript.interface(Inner)


def test_a_request_may_leave_out_what_has_a_default() -> None:
    assert "  model: string;\n  why?: string;\n" in typescript.interface(Rollback)


def test_a_record_comes_after_the_records_inside_it() -> None:
    names = [line.split()[2] for line in typescript.module().splitlines() if line.startswith("export interface")]
    assert names.index("ShadowRoute") < names.index("ModelStatus") < names.index("StatusReport")
    assert len(names) == len(set(names))
