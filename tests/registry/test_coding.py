"""Encoders of text as tables: the graph takes numbers of levels, and clients go on sending text."""

from __future__ import annotations

import numpy as np
import onnx
import pandas as pd
import polars as pl
import pytest
from registry.conversions import opened
from registry.here import Here
from sklearn import calibration, compose, ensemble, impute, linear_model, model_selection, tree
from sklearn import preprocessing as prep
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import make_pipeline as pipe
from sklearn.pipeline import make_union

from prodml_magics.contract.check import check_tensors
from prodml_magics.contract.encode import decode_columns, encode_columns, encode_rows
from prodml_magics.contract.schema import read_contract, write_contract
from prodml_magics.errors import ContractError, Unsupported
from prodml_magics.registry.build import build
from prodml_magics.registry.frames import columns_of

HERE = Here()
_generator = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "price": _generator.lognormal(size=400).astype(np.float32).astype(float),
        "city": _generator.choice(["Bonn", "Köln", "Ulm", "it's", "ä"], 400, p=[0.4, 0.3, 0.2, 0.08, 0.02]),
        "rooms": _generator.integers(1, 6, 400),
        "shop": _generator.choice(["a", "b", "?"], 400),
    }
)
GAPS = FRAME.assign(city=FRAME.city.where(_generator.random(400) > 0.1), price=FRAME.price.where(_generator.random(400) > 0.1))
TARGET = ((FRAME.price > 1) ^ (FRAME.city == "Ulm")).to_numpy(int)
THREE = TARGET + (FRAME.shop == "?").to_numpy(int)
ODD = ["Bonn", "Ulm", "nowhere", "", "Bonn ", "bonn", "nan", "None", "Ä", "it's"]
IGNORED = {"handle_unknown": "ignore"}
LR = linear_model.LogisticRegression


def mixed(text, numbers="passthrough"):
    return compose.make_column_transformer((numbers, ["price", "rooms"]), (text, ["city", "shop"]))


def ordinal(**options):
    return prep.OrdinalEncoder(handle_unknown="use_encoded_value", **options)


ENCODED = {
    "one-hot": lambda: pipe(mixed(prep.OneHotEncoder(**IGNORED), prep.StandardScaler()), LR()),
    "one-hot, first dropped": lambda: pipe(mixed(prep.OneHotEncoder(drop="first", **IGNORED)), LR(max_iter=1000)),
    "one-hot, infrequent by count": lambda: pipe(
        mixed(prep.OneHotEncoder(min_frequency=20, handle_unknown="infrequent_if_exist")), LR(max_iter=1000)
    ),
    "one-hot, infrequent by number": lambda: pipe(
        mixed(prep.OneHotEncoder(max_categories=3, handle_unknown="infrequent_if_exist")), LR(max_iter=1000)
    ),
    "ordinal, forest": lambda: pipe(mixed(ordinal(unknown_value=-1)), RandomForestClassifier(20, random_state=0)),
    "ordinal, unknown is NaN": lambda: pipe(mixed(ordinal(unknown_value=np.nan)), HistGradientBoostingClassifier(max_iter=20)),
    "ordinal, infrequent": lambda: pipe(
        mixed(ordinal(unknown_value=-1, max_categories=3)), tree.DecisionTreeClassifier(random_state=0)
    ),
    "ordinal, scaled": lambda: pipe(mixed(pipe(ordinal(unknown_value=-1), prep.StandardScaler())), LR(max_iter=1000)),
    "target": lambda: pipe(mixed(prep.TargetEncoder()), HistGradientBoostingClassifier(max_iter=20)),
    "imputed": lambda: pipe(
        mixed(pipe(impute.SimpleImputer(strategy="most_frequent"), prep.OneHotEncoder(**IGNORED)), impute.SimpleImputer()),
        LR(max_iter=1000),
    ),
    "imputed, another stands for missing": lambda: pipe(
        mixed(
            pipe(impute.SimpleImputer(missing_values="?", strategy="constant", fill_value="none"), prep.OneHotEncoder(**IGNORED)),
            impute.SimpleImputer(),
        ),
        LR(max_iter=1000),
    ),
    "union of encoders": lambda: pipe(
        mixed(make_union(prep.OneHotEncoder(**IGNORED), ordinal(unknown_value=-1)), impute.SimpleImputer()), LR(max_iter=1000)
    ),
    "vote": lambda: ensemble.VotingClassifier(
        [
            ("a", pipe(mixed(prep.OneHotEncoder(**IGNORED)), LR(max_iter=1000))),
            ("b", pipe(mixed(ordinal(unknown_value=-1)), RandomForestClassifier(5, random_state=0))),
        ],
        voting="soft",
    ),
    "stack": lambda: ensemble.StackingClassifier(
        [("a", pipe(mixed(prep.OneHotEncoder(**IGNORED)), LR(max_iter=1000)))], LR(), cv=2
    ),
    "calibrated": lambda: calibration.CalibratedClassifierCV(
        pipe(mixed(prep.OneHotEncoder(**IGNORED)), tree.DecisionTreeClassifier(max_depth=3, random_state=0)), cv=2
    ),
    "tuned threshold": lambda: model_selection.TunedThresholdClassifierCV(
        pipe(mixed(prep.OneHotEncoder(**IGNORED)), LR(max_iter=1000)), cv=2
    ),
    "searched": lambda: model_selection.GridSearchCV(
        pipe(mixed(prep.OneHotEncoder(**IGNORED)), LR(max_iter=1000)), {"logisticregression__C": [0.1, 1.0]}, cv=2
    ),
}
TAKES_GAPS = ("ordinal, unknown is NaN", "target", "imputed", "imputed, another stands for missing")


def asked(model, candidate, frame):
    """Labels and probabilities of both, for rows with every odd text in either column."""
    rows = pd.concat([frame.head(60)] * 2, ignore_index=True)
    for place, text in enumerate(ODD):
        rows.loc[place, "city"] = text
        rows.loc[20 + place, "shop"] = text
    tensors = encode_columns(candidate.contract, columns_of(rows))
    given = opened(candidate.model, candidate.contract).run(tensors)
    if candidate.contract.columns[1].nullable:  # where the empty text means a missing one
        rows["city"] = rows.city.where(rows.city != "")
    return given, model.predict(rows), model.predict_proba(rows)


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize(("name", "gaps"), [(name, False) for name in ENCODED] + [(name, True) for name in TAKES_GAPS])
def test_a_graph_of_numbers_answers_text_as_scikit_learn_does(name, gaps):
    frame = GAPS if gaps else FRAME
    if gaps and name == "imputed, another stands for missing":
        frame = FRAME.assign(price=GAPS.price)
    model = ENCODED[name]().fit(frame, TARGET)
    candidate = build(model, train=(frame, TARGET), converter=HERE)
    assert [table.column for table in candidate.contract.codes] == ["city", "shop"]
    graph = onnx.load_from_string(candidate.model).graph
    kinds = {each.name: each.type.tensor_type.elem_type for each in graph.input}
    assert kinds["categorical"] == onnx.TensorProto.INT64
    assert {tensor.name: tensor.datatype for tensor in candidate.contract.inputs}["categorical"] == "BYTES"
    given, labels, probabilities = asked(model, candidate, frame)
    assert given["label"].tolist() == labels.tolist()
    np.testing.assert_allclose(given["probabilities"], probabilities, atol=1e-5, rtol=0)


def test_a_target_encoder_of_several_classes_is_exact():
    model = pipe(mixed(prep.TargetEncoder()), RandomForestClassifier(10, random_state=0)).fit(FRAME, THREE)
    candidate = build(model, train=(FRAME, THREE), converter=HERE)
    given, labels, probabilities = asked(model, candidate, FRAME)
    assert given["label"].tolist() == labels.tolist()
    np.testing.assert_allclose(given["probabilities"], probabilities, atol=1e-12, rtol=0)


def test_text_alone_is_coded_as_well_and_in_double_where_it_is_encoded_by_means():
    text = FRAME[["city", "shop"]]
    model = pipe(prep.TargetEncoder(), HistGradientBoostingClassifier(max_iter=20)).fit(text, TARGET)
    candidate = build(model, train=(text, TARGET), converter=HERE)
    assert candidate.contract.codes
    assert candidate.parity.precision == "FP64"
    given = opened(candidate.model, candidate.contract).run(encode_columns(candidate.contract, columns_of(text)))
    np.testing.assert_allclose(given["probabilities"], model.predict_proba(text), atol=1e-12, rtol=0)


@pytest.mark.parametrize("as_table", [pl.DataFrame, lambda frame: frame.to_numpy()], ids=["polars", "numpy"])
def test_frames_of_polars_and_arrays_of_objects_are_coded(as_table):
    rows = as_table(GAPS.assign(price=FRAME.price))
    columns = compose.make_column_transformer((prep.StandardScaler(), [0, 2]), (prep.OneHotEncoder(**IGNORED), [1, 3]))
    model = pipe(columns, LR()).fit(rows, TARGET)
    candidate = build(model, train=(rows, TARGET), converter=HERE)
    assert len(candidate.contract.codes) == 2
    given = opened(candidate.model, candidate.contract).run(encode_columns(candidate.contract, candidate.train_columns))
    np.testing.assert_allclose(given["probabilities"], model.predict_proba(rows), atol=1e-5, rtol=0)


def test_a_level_that_the_encoder_refuses_is_refused_at_the_door():
    model = pipe(mixed(prep.OneHotEncoder()), LR(max_iter=1000)).fit(FRAME, TARGET)
    candidate = build(model, train=(FRAME, TARGET), converter=HERE)
    assert [table.unseen for table in candidate.contract.codes] == [None, None]
    rows = encode_columns(candidate.contract, columns_of(FRAME.head(3)))
    assert check_tensors(candidate.contract, rows) == 3
    rows["categorical"][2, 0] = "Rom"
    with pytest.raises(
        ContractError, match=r"column 'city' is 'Rom' in row 2, which the model refuses; send one of 'Bonn', 'Köln'"
    ):
        check_tensors(candidate.contract, rows)


def test_many_levels_are_compared_with_in_place_of_a_square_table():
    frame = pd.DataFrame({"price": np.arange(900.0) / 900, "id": [f"id {place % 450}" for place in range(900)]})
    target = (np.arange(900) % 3 == 0).astype(int)
    columns = compose.make_column_transformer(("passthrough", ["price"]), (prep.OneHotEncoder(**IGNORED), ["id"]))
    model = pipe(columns, LR()).fit(frame, target)
    candidate = build(model, train=(frame, target), converter=HERE)
    assert candidate.contract.codes
    assert len(candidate.model) < 50_000
    given = opened(candidate.model, candidate.contract).run(encode_columns(candidate.contract, columns_of(frame)))
    np.testing.assert_allclose(given["probabilities"], model.predict_proba(frame), atol=1e-5, rtol=0)


def test_text_that_goes_elsewhere_than_into_an_encoder_stays_text():
    def shout(rows):
        return rows.apply(lambda column: column.str.upper())

    columns = compose.make_column_transformer(
        ("passthrough", ["price"]), (pipe(prep.FunctionTransformer(shout), prep.OneHotEncoder(**IGNORED)), ["city", "shop"])
    )
    model = pipe(columns, LR()).fit(FRAME, TARGET)
    from prodml_magics.contract.infer import infer_columns
    from prodml_magics.contract.schema import Contract
    from prodml_magics.registry.coding import with_codes
    from prodml_magics.registry.layout import wire_inputs
    from prodml_magics.registry.reference import Reference

    described = infer_columns(columns_of(FRAME))
    contract = Contract(task="classification", columns=described, inputs=wire_inputs(described, "FP64"), outputs=())
    tensors = encode_columns(contract, columns_of(FRAME))
    assert with_codes(Reference(model, "classifier", described, FRAME), contract, tensors) is None


def test_a_step_that_was_fitted_before_and_is_held_twice_is_no_hindrance():
    shared = mixed(prep.OneHotEncoder(**IGNORED)).fit(FRAME)
    model = ensemble.StackingClassifier(
        [("a", pipe(shared, LR(max_iter=1000))), ("b", pipe(shared, tree.DecisionTreeClassifier(max_depth=3)))], LR(), cv=2
    ).fit(FRAME, TARGET)
    candidate = build(model, train=(FRAME, TARGET), converter=HERE)
    assert len(candidate.contract.codes) == 2
    given, labels, _ = asked(model, candidate, FRAME)
    assert given["label"].tolist() == labels.tolist()


def test_what_a_graph_does_for_one_row_is_a_handful_of_nodes():
    """Each costs half a microsecond and more, where all of a small model is eight."""
    model = ENCODED["one-hot"]().fit(FRAME, TARGET)
    graph = onnx.load_from_string(build(model, train=(FRAME, TARGET), converter=HERE).model).graph
    operators = [node.op_type for node in graph.node if node.op_type != "Identity"]
    assert sorted(operators) == ["Concat", "GatherElements", "LinearClassifier", "Scaler"]


@pytest.mark.parametrize("coded", [True, False])
def test_names_of_columns_may_hold_blanks_and_signs(coded):
    """skl2onnx writes both "a b" and "a_b" as a_b, and numbers the second."""
    names = {"price": "a b", "rooms": "a_b", "city": "it's (x)", "shop": "numeric"}
    frame = FRAME.rename(columns=names)
    text = ["numeric", "it's (x)"] if coded else []
    columns = compose.make_column_transformer(
        (prep.StandardScaler(), ["a_b", "a b"]), *([(prep.OneHotEncoder(**IGNORED), text)] if coded else [])
    )
    rows = frame if coded else frame[["a b", "a_b"]]
    model = pipe(columns, LR()).fit(rows, TARGET)
    candidate = build(model, train=(rows, TARGET), converter=HERE)
    assert [column.name for column in candidate.contract.columns] == list(rows)
    given = opened(candidate.model, candidate.contract).run(encode_columns(candidate.contract, columns_of(rows)))
    np.testing.assert_allclose(given["probabilities"], model.predict_proba(rows), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["input", "categorical", "label"])
def test_a_single_column_may_have_the_name_of_a_tensor(name):
    rows = FRAME[["city"]].rename(columns={"city": name})
    model = pipe(prep.OneHotEncoder(**IGNORED), LR()).fit(rows, TARGET)
    candidate = build(model, train=(rows, TARGET), converter=HERE)
    given = opened(candidate.model, candidate.contract).run(encode_columns(candidate.contract, columns_of(rows)))
    np.testing.assert_allclose(given["probabilities"], model.predict_proba(rows), atol=1e-5, rtol=0)


BOTH = GAPS.assign(price=FRAME.price, city=GAPS.city.mask(_generator.random(400) < 0.15, ""))
BOTH_TARGET = ((FRAME.price > 1) ^ (BOTH.city == "") ^ BOTH.city.isna() & (FRAME.rooms > 2)).to_numpy(int)
TELL_APART = {
    "one-hot": lambda: pipe(mixed(prep.OneHotEncoder(**IGNORED)), tree.DecisionTreeClassifier(max_depth=6, random_state=0)),
    "one-hot, linear": lambda: pipe(mixed(prep.OneHotEncoder(**IGNORED)), LR(max_iter=1000)),
    "ordinal": lambda: pipe(
        mixed(ordinal(unknown_value=-1, encoded_missing_value=-2)), RandomForestClassifier(10, random_state=0)
    ),
    "target": lambda: pipe(mixed(prep.TargetEncoder(smooth=1.0)), HistGradientBoostingClassifier(max_iter=20)),
    "imputed": lambda: pipe(
        mixed(pipe(impute.SimpleImputer(strategy="most_frequent"), prep.OneHotEncoder(**IGNORED))), LR(max_iter=1000)
    ),
    "indicated": lambda: pipe(
        mixed(pipe(impute.SimpleImputer(strategy="most_frequent", add_indicator=True), prep.OneHotEncoder(**IGNORED))),
        LR(max_iter=1000),
    ),
}
TABLES = {
    "NaN": lambda frame: frame,
    "None": lambda frame: frame.astype({"city": object, "shop": object}).where(frame.notna(), None),
    "polars": pl.from_pandas,
}


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize(
    ("name", "table"),  # scikit-learn's imputer of text takes NaN for missing
    [(name, table) for table in TABLES for name in TELL_APART if table == "NaN" or name not in ("imputed", "indicated")],
)
def test_empty_text_and_missing_text_are_two_things_where_the_encoder_makes_two_of_them(name, table):
    rows = TABLES[table](BOTH)
    model = TELL_APART[name]().fit(rows, BOTH_TARGET)
    candidate = build(model, train=(rows, BOTH_TARGET), converter=HERE)
    column = candidate.contract.columns[1]
    assert column.null == "\0" and "" in column.categories
    asked = BOTH.head(90).assign(city=["", "Bonn", None] * 30)
    asked = TABLES[table](asked.astype({"city": BOTH.city.dtype}))
    tensors = encode_columns(candidate.contract, columns_of(asked))
    assert tensors["categorical"][:3, 0].tolist() == ["", "Bonn", "\0"]
    assert check_tensors(candidate.contract, tensors) == 90
    given = opened(candidate.model, candidate.contract).run(tensors)
    np.testing.assert_allclose(given["probabilities"], model.predict_proba(asked), atol=1e-5, rtol=0)
    if "imputed" not in name:
        assert not np.array_equal(given["probabilities"][::3], given["probabilities"][2::3])


def test_rows_of_json_send_null_for_what_is_missing_beside_empty_text():
    model = TELL_APART["one-hot, linear"]().fit(BOTH, BOTH_TARGET)
    contract = build(model, train=(BOTH, BOTH_TARGET), converter=HERE).contract
    rows = [{"price": 1.0, "rooms": 2, "shop": "a", "city": city} for city in ("", None, "Ulm")]
    tensors = encode_rows(contract, rows)
    assert tensors["categorical"][:, 0].tolist() == ["", "\0", "Ulm"]
    assert decode_columns(contract, tensors)["city"].tolist() == ["", None, "Ulm"]
    assert read_contract(write_contract(contract)) == contract


def test_text_that_stays_text_cannot_be_empty_and_missing():
    def shout(rows):
        return rows.apply(lambda column: column.str.upper())

    columns = compose.make_column_transformer(
        (pipe(prep.FunctionTransformer(shout), prep.OneHotEncoder(**IGNORED)), ["city", "shop"])
    )
    model = pipe(columns, LR()).fit(BOTH, BOTH_TARGET)
    with pytest.raises(Unsupported, match="column 'city' holds empty text and missing values"):
        build(model, train=(BOTH, BOTH_TARGET), converter=HERE)
