"""Changes in words, and the rows that a new contract would refuse, beside the slow check of every row."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from prodml_magics.contract.changes import changes, compatibility, refused_rows
from prodml_magics.contract.check import check_tensors
from prodml_magics.contract.compare import compare
from prodml_magics.contract.encode import encode_rows
from prodml_magics.contract.schema import CodeTable, Contract
from prodml_magics.errors import ProdmlError


def changed(contract: Contract, place: int, **fields: object) -> Contract:
    columns = list(contract.columns)
    columns[place] = msgspec.structs.replace(columns[place], **fields)
    return msgspec.structs.replace(contract, columns=tuple(columns))


def test_the_same_contract_has_no_changes(numeric, mixed, bare):
    for contract in (numeric, mixed, bare):
        assert changes(contract, contract) == ()
        assert compatibility(contract, contract) == "FULL"


def test_each_change_is_a_line(mixed):
    assert changes(mixed, changed(mixed, 0, dtype="int64")) == ("column 'price' was float64 and is int64",)
    assert changes(mixed, changed(mixed, 0, nullable=True)) == ("column 'price' may be missing now",)
    assert changes(mixed, changed(mixed, 1, nullable=False)) == ("column 'city' may not be missing any more",)
    assert changes(mixed, changed(mixed, 0, minimum=1.0, maximum=2.5)) == (
        "column 'price' ranged over nothing and ranges over 1 to 2.5",
    )
    assert changes(mixed, changed(mixed, 1, categories=("Bonn", "Ulm"))) == (
        "column 'city' has the new level 'Ulm'",
        "column 'city' lost the level 'Köln'",
    )
    assert changes(mixed, changed(mixed, 2, name="beds")) == ("column 'beds' was added (int64)", "column 'rooms' was removed")
    euros, dollars = changed(mixed, 0, unit="EUR"), changed(mixed, 0, unit="USD")
    assert changes(euros, dollars) == ("column 'price' was in EUR and is in USD",)
    assert (compatibility(euros, dollars), compatibility(mixed, dollars)) == ("NONE", "FULL")
    moved = msgspec.structs.replace(mixed, columns=mixed.columns[::-1])
    assert changes(mixed, moved) == ("the columns are in another order",)


def test_tensors_and_classes_are_compared(numeric, mixed):
    found = changes(numeric, mixed)
    assert "input 'numeric' was added" in found and "input 'input' was removed" in found
    assert "output 'prediction' was added" in found and "output 'label' was removed" in found
    assert found[-1] == "the classes were 'no', 'yes' and are none"


@pytest.mark.parametrize(
    ("fields", "level"), [({"nullable": True}, "BACKWARD"), ({"dtype": "int64"}, "FULL"), ({"dtype": "bool"}, "NONE")]
)
def test_the_level_says_who_can_ask_whom(mixed, fields, level):
    assert compatibility(mixed, changed(mixed, 0, **fields)) == level
    turned = {"BACKWARD": "FORWARD"}.get(level, level)
    assert compatibility(changed(mixed, 0, **fields), mixed) == turned


def test_refused_rows_are_those_that_the_door_would_refuse(mixed):
    rows = {
        "price": np.array([1.0, np.nan, 2.0, 0.0, 3.0]),
        "city": np.array(["Bonn", "Ulm", None, "Bonn", "Rom"], object),
        "rooms": np.array([1.0, 2.0, 3.0, np.inf, 4.0]),
        "shop": np.array(["a", "b", "a", "b", None], object),
    }
    for contract in (mixed, changed(mixed, 0, nullable=True, dtype="bool"), changed(mixed, 1, nullable=False)):
        for row, refused in enumerate(refused_rows(contract, rows)):
            sent = {name: values[row] for name, values in rows.items()}
            if refused:
                with pytest.raises(ProdmlError):
                    encode_rows(contract, [sent])
            else:
                encode_rows(contract, [sent])
    assert refused_rows(mixed, {"price": rows["price"]}).all()
    assert refused_rows(mixed, rows, unknown=("shop", "price")).tolist() == [False, False, False, True, False]


def coded(contract: Contract, **fields: object) -> Contract:
    tables = (
        CodeTable(column="city", categories=("Bonn", "Köln"), missing=2, unseen=3, nullable=True),
        CodeTable(column="shop", categories=("a", "b"), unseen=2),
    )
    return msgspec.structs.replace(contract, codes=(msgspec.structs.replace(tables[0], **fields), tables[1]))


def test_a_model_that_refuses_levels_breaks_who_sends_any(mixed):
    takes, refuses, no_gaps = coded(mixed), coded(mixed, unseen=None), coded(mixed, missing=None)
    assert (compatibility(takes, refuses), compatibility(refuses, takes)) == ("FORWARD", "BACKWARD")
    assert changes(takes, refuses) == ("column 'city' refuses levels that it was not fitted on now",)
    assert compatibility(takes, no_gaps) == "FORWARD"
    assert compatibility(mixed, refuses) == "FORWARD"
    fewer = coded(mixed, unseen=None, categories=("Bonn",))
    assert compare(refuses, fewer) == ("column 'city' is sent with the level 'Köln', which is refused",)
    assert compare(fewer, refuses) == ()


def test_recorded_levels_that_the_model_refuses_are_counted(mixed):
    texts = ["Bonn", None, "Rom", "", "Köln"]
    columns = {
        "price": np.ones(5),
        "city": np.array([text or None for text in texts], object),
        "rooms": np.ones(5),
        "shop": np.array(["a"] * 5, object),
    }
    for fields in ({}, {"unseen": None}, {"missing": None}, {"unseen": None, "missing": None}):
        contract = coded(mixed, **fields)
        rows = [{"price": 1.0, "city": text, "rooms": 1, "shop": "a"} for text in texts]
        slow = []
        for row in rows:
            try:
                check_tensors(contract, encode_rows(contract, [row]))
                slow.append(False)
            except ProdmlError:
                slow.append(True)
        assert refused_rows(contract, columns).tolist() == slow
        assert not refused_rows(contract, columns, unknown=("city",)).any()
