"""Text of categories as the numbers of their levels."""

from __future__ import annotations

import numpy as np
import pytest

from prodml_magics.contract.check import check_tensors
from prodml_magics.contract.codes import feeds_of
from prodml_magics.contract.schema import CodeTable, Column, Contract, Tensor, read_contract, write_contract
from prodml_magics.errors import ContractError

TOLERANT = CodeTable(column="city", categories=("Bonn", "Köln"), missing=2, unseen=3, nullable=True)
STRICT = CodeTable(column="shop", categories=("", "a"))
CONTRACT = Contract(
    task="regression",
    columns=(
        Column(name="price", kind="numeric", dtype="float64"),
        Column(name="city", kind="categorical", dtype="string", nullable=True, categories=("Bonn", "Köln")),
        Column(name="shop", kind="categorical", dtype="string", categories=("", "a")),
    ),
    inputs=(Tensor(name="numeric", datatype="FP32", shape=(-1, 1)), Tensor(name="categorical", datatype="BYTES", shape=(-1, 2))),
    outputs=(),
    codes=(TOLERANT, STRICT),
)


def tensors(*text: tuple[str, str]) -> dict[str, np.ndarray]:
    return {"numeric": np.zeros((len(text), 1), np.float32), "categorical": np.array(text, object)}


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_each_level_has_its_number_and_so_have_missing_and_unseen_ones(rows):
    text = [("Köln", "a"), ("", ""), ("Ulm", "a"), ("Bonn", ""), ("Köln", "")][:rows]
    sent = tensors(*text)
    fed = feeds_of(CONTRACT)(sent)
    assert fed["categorical"].dtype == np.int64
    assert fed["categorical"].tolist() == [[1, 1], [2, 0], [3, 1], [0, 0], [1, 0]][:rows]
    assert fed["numeric"] is sent["numeric"]
    assert sent["categorical"].tolist() == [list(row) for row in text]


def test_what_the_model_refuses_is_refused_at_the_door_with_its_column_and_row():
    assert check_tensors(CONTRACT, tensors(("Ulm", "a"))) == 1
    with pytest.raises(ContractError, match=r"column 'shop' is 'b' in row 1, which the model refuses; send one of '', 'a'"):
        check_tensors(CONTRACT, tensors(("Bonn", "a"), ("Bonn", "b")))
    with pytest.raises(ContractError, match="column 'shop' is 'b', which the model refuses"):
        feeds_of(CONTRACT)(tensors(("Bonn", "b")))


def test_a_missing_value_may_be_refused_where_unseen_levels_are_not():
    table = CodeTable(column="city", categories=("Bonn",), unseen=2, nullable=True)
    one = CONTRACT.__class__(
        **{name: getattr(CONTRACT, name) for name in CONTRACT.__struct_fields__} | {"codes": (table, STRICT)}
    )
    with pytest.raises(ContractError, match="column 'city' is missing in row 0, which the model refuses"):
        check_tensors(one, tensors(("", "a")))
    assert check_tensors(one, tensors(("Ulm", "a"))) == 1


def test_tables_are_kept_and_a_contract_of_the_first_format_has_none():
    assert read_contract(write_contract(CONTRACT)) == CONTRACT
    old = b'{"task":"regression","columns":[],"inputs":[{"name":"x","datatype":"BYTES","shape":[-1,1]}],"outputs":[],"format":1}'
    assert read_contract(old).codes == ()
    assert feeds_of(read_contract(old)) is None
