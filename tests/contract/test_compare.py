from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from prodml_magics.contract.compare import compare, stand_in_problem
from prodml_magics.contract.schema import Column, Contract, Tensor


def change(contract: Contract, place: int, **fields: object) -> Contract:
    columns = list(contract.columns)
    columns[place] = msgspec.structs.replace(columns[place], **fields)
    return msgspec.structs.replace(contract, columns=tuple(columns))


def test_a_contract_agrees_with_itself(numeric, mixed, bare):
    for contract in (numeric, mixed, bare):
        assert compare(contract, contract, "FULL") == ()


def test_values_seen_are_no_part_of_compatibility(numeric, mixed):
    assert compare(numeric, change(numeric, 0, minimum=-5.0, maximum=1.0), "FULL") == ()
    assert compare(mixed, change(mixed, 1, categories=("Ulm",)), "FULL") == ()


def test_null_may_be_allowed_but_not_forbidden(numeric):
    strict = change(numeric, 1, nullable=False)
    assert compare(strict, numeric) == ()
    assert "may be missing" in compare(numeric, strict)[0]
    assert compare(numeric, strict, "FORWARD") == ()
    assert len(compare(strict, numeric, "FULL")) == 1


@pytest.mark.parametrize("mode", ["BACKWARD", "FORWARD", "FULL"])
def test_columns_may_not_come_or_go_or_move(numeric, mode):
    extra = msgspec.structs.replace(numeric, columns=(*numeric.columns, Column(name="new", kind="numeric", dtype="float64")))
    moved = msgspec.structs.replace(numeric, columns=numeric.columns[::-1])
    assert any("'new'" in line for line in compare(numeric, extra, mode))
    assert any("order" in line for line in compare(numeric, moved, mode))


def test_another_kind_or_type_breaks(numeric, mixed):
    assert "read as categorical" in compare(numeric, change(numeric, 0, kind="categorical", dtype="string"))[0]
    assert "read as bool" in compare(numeric, change(numeric, 0, dtype="bool"))[0]
    assert compare(numeric, change(numeric, 0, dtype="float64"), "FULL") == ()


def test_a_tensor_may_become_wider_but_not_narrower(numeric):
    wide = msgspec.structs.replace(numeric, inputs=(Tensor(name="input", datatype="FP64", shape=(-1, 3)),))
    assert compare(numeric, wide) == ()
    assert compare(wide, numeric) == ("input tensor 'input' is sent as FP64 [-1, 3] but read as FP32 [-1, 3]",)


def test_readers_of_answers_are_kept(numeric):
    fewer = msgspec.structs.replace(numeric, outputs=numeric.outputs[:1])
    other = msgspec.structs.replace(numeric, classes=("no", "perhaps"))
    assert compare(numeric, fewer) == ("output 'probabilities' is read but not given",)
    assert compare(fewer, numeric) == ()
    assert "classes" in compare(numeric, other)[0]


def test_clients_that_write_a_missing_category_otherwise_are_broken(mixed):
    price, city, *others = mixed.columns
    beside = replace(mixed, columns=(price, replace(city, null="\0", categories=("", "Bonn")), *others))
    assert compare(mixed, beside) == ("column 'city' is sent with '' for a missing value, but read with '\\x00'",)
    assert compare(beside, mixed) == ("column 'city' is sent with '\\x00' for a missing value, but read with ''",)
    never = replace(mixed, columns=(price, replace(city, nullable=False, categories=("", "Bonn")), *others))
    assert compare(never, mixed) == ("column 'city' is sent with empty text as a level, but read as missing",)
    assert compare(never, beside) == ()
    assert "columns" in (stand_in_problem(mixed, beside) or "")
