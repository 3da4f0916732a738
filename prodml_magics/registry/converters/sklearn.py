"""scikit-learn estimators and pipelines to ONNX: skl2onnx with the special calls that it needs, and our own trees."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from prodml_magics.contract.cells import NULL_CATEGORY
from prodml_magics.contract.schema import Column
from prodml_magics.errors import Unsupported
from prodml_magics.registry.converters.binarizer import use_own_binarizer
from prodml_magics.registry.converters.cutoff import cutoff_of, label_by
from prodml_magics.registry.converters.discriminant import use_own_discriminant
from prodml_magics.registry.converters.emit import finish, use_library, use_own_trees
from prodml_magics.registry.converters.ensembles import known_categories
from prodml_magics.registry.converters.fold import fold_tables
from prodml_magics.registry.converters.function import use_own_functions
from prodml_magics.registry.converters.functions import ROUNDED, function_name
from prodml_magics.registry.converters.graph import join_columns, name_null, name_outputs
from prodml_magics.registry.converters.indicator import use_own_indicators
from prodml_magics.registry.converters.isolation import use_own_isolation
from prodml_magics.registry.converters.libraries import library_reader
from prodml_magics.registry.converters.polynomial import use_own_polynomials
from prodml_magics.registry.converters.power import use_own_powers
from prodml_magics.registry.converters.quantile import use_own_quantiles
from prodml_magics.registry.converters.tabulated import use_own_tables
from prodml_magics.registry.converters.target import use_own_targets
from prodml_magics.registry.layout import Precision
from prodml_magics.registry.roles import Role, nested, role_of, unwrap
from prodml_magics.registry.tabulated import Tabulated

__all__ = ["INEXACT", "convert_sklearn_model", "to_graph"]

_OPSET = 18

INEXACT = {
    "CountVectorizer": "ONNX splits text into words by other rules; turn the text into columns beforehand",
    "TfidfVectorizer": "ONNX splits text into words by other rules; turn the text into columns beforehand",
    "HashingVectorizer": "ONNX has no such hash; turn the text into columns beforehand",
    "TunedThresholdClassifierCV": "skl2onnx leaves its threshold out; let it be the outermost, on probabilities",
    "FixedThresholdClassifier": "skl2onnx leaves its threshold out; let it be the outermost, on probabilities",
}
"""Models that skl2onnx converts into something else, in ways that a few thousand rows may not show."""

_SPLIT_AT_VALUES = ("HistGradientBoosting", "LGBM")
_SCORES_ONLY = ("LinearSVC",)


def convert_sklearn_model(model: Any, columns: Sequence[Column], precision: Precision) -> bytes:
    """The ONNX file of a fitted model: inputs as in `layout.wire_inputs`, outputs named as in the contract.

    Where encoders of the model are tables, see `coding`, ``categorical`` is int64.

    Raises `Unsupported` naming what ONNX cannot express. That the file answers as the model does is for the parity gate.
    """
    model = unwrap(model)
    cutoff = cutoff_of(model)
    graph = to_graph(cutoff.model if cutoff else model, columns, precision)
    graph.graph.name = type(model).__name__  # skl2onnx draws a random one, and equal models shall have equal bytes
    coded = _is_coded(model)
    join_columns(graph, columns, precision, coded=coded)
    if not coded and any(column.kind == "categorical" and column.nullable for column in columns):
        name_null(graph)
    name_outputs(graph, _output_names(model, role_of(model)))
    if cutoff:
        label_by(graph, cutoff)
    return graph.SerializeToString()


def to_graph(model: Any, columns: Sequence[Column], precision: Precision) -> Any:
    """skl2onnx's graph of `model`, or of a step, with one input per column where a column is text or addressed by name."""
    model = _prepare(model, columns)
    use_own_trees()
    use_own_discriminant()
    use_own_functions()
    use_own_indicators()
    use_own_binarizer()
    use_own_isolation()
    use_own_polynomials()
    use_own_powers()
    use_own_quantiles()
    use_own_tables()
    use_own_targets()
    _use_libraries(model)
    try:
        with warnings.catch_warnings():
            # skl2onnx warns of its own deprecated calls, which no user can change; what matters is proved afterwards
            warnings.simplefilter("ignore")
            return _finished(model, columns, precision)
    except Unsupported:
        raise
    except Exception as error:  # skl2onnx raises NotImplementedError, RuntimeError, NameError, KeyError … for a gap
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
        line = line.split(" You may raise an issue")[0].rstrip(".")
        line = "skl2onnx knows no such step" if line.startswith("Unable to find a ") else line
        advice = "put its work into the data, or take a step that ONNX knows"
        raise Unsupported(f"ONNX cannot express {_suspect(model, error)} ({line}); {advice}") from error


def _use_libraries(model: Any) -> None:
    """Have skl2onnx know the estimators of other libraries in `model`, each by the file that its family names."""
    for part in nested(model):
        reader = library_reader(part)
        if reader is not None:
            use_library(part, reader)


def _finished(model: Any, columns: Sequence[Column], precision: Precision) -> Any:
    from skl2onnx import convert_sklearn

    tables = [part for part in nested(model) if isinstance(part, Tabulated)]
    for table in tables:
        table.wide, table.written = precision == "FP64", None
    types = _initial_types(model, columns, precision)
    graph = convert_sklearn(model, initial_types=types, options=_options(model), target_opset=_OPSET)
    fold_tables(graph, tables)
    finish(graph)
    return graph


def _prepare(model: Any, columns: Sequence[Column]) -> Any:
    """The model, or a copy with the settings that skl2onnx wants, none of which changes a prediction."""
    for part in nested(model):
        name = type(part).__name__
        if _splits_on_text(part):
            raise Unsupported(f"splits of {name} on text are not converted; put OneHotEncoder or OrdinalEncoder in front")
        if _decided_by_last_digits(part):
            advice = "leave it out, for trees are the same without it"
            raise Unsupported(
                f"the last digits of {_decided_by_last_digits(part)} decide in trees that split doubles at a value; {advice}"
            )
        if name in INEXACT:
            raise Unsupported(f"{name} cannot be converted exactly: {INEXACT[name]}")
    null = any(column.kind == "categorical" and column.nullable for column in columns)
    matrix = _takes_matrix(model, columns)
    if not any(_setting(part, null, matrix) for part in nested(model)):
        return model
    copied = _copy(model)
    for part in nested(copied):
        for name, value in _setting(part, null, matrix).items():
            setattr(part, name, value)
    return copied


def _decided_by_last_digits(part: Any) -> str:
    """Of powers, logarithms and normal quantiles, whose last digit is another in every library, those that go into trees whose split
    points are values of training rows; empty where there are none.
    """
    steps = [step for _, step in getattr(part, "steps", ())]
    if not any(type(inner).__name__.startswith(_SPLIT_AT_VALUES) for step in steps[-1:] for inner in nested(step)):
        return ""
    rounding = (type(inner).__name__ for step in steps[:-1] for inner in nested(step) if _is_rounded(inner))
    return next(rounding, "")


def _is_rounded(part: Any) -> bool:
    normal = getattr(part, "output_distribution", "") == "normal"
    if type(part).__name__ == "FunctionTransformer":
        return function_name(part.func) in ROUNDED
    return type(part).__name__ == "PowerTransformer" or (type(part).__name__ == "QuantileTransformer" and normal)


def _splits_on_text(part: Any) -> bool:
    known = known_categories(part).values() if np.any(getattr(part, "is_categorical_", False)) else ()
    return any(held.dtype.kind not in "biuf" for held in known)


def _setting(part: Any, null: bool, matrix: bool) -> dict[str, Any]:
    """Attributes of one estimator to set in a copy; `null` says that some text is missing, `matrix` that columns have no names."""
    name = type(part).__name__
    if name == "ColumnTransformer" and matrix and hasattr(part, "transformers_"):
        places = part._transformer_to_input_indices
        return {"transformers_": [(key, step, list(places[key])) for key, step, _ in part.transformers_]}
    if name == "Pipeline" and (kept := [step for step in part.steps if step[1] not in (None, "passthrough")]) != part.steps:
        return {"steps": kept} if kept else {}
    if name == "KBinsDiscretizer" and part.encode == "onehot":  # the same numbers, and no sparse ones in ONNX
        return {"encode": "onehot-dense"}
    if name == "VotingClassifier":
        return {"flatten_transform": False}
    if name == "SimpleImputer" and null and getattr(getattr(part, "_fit_dtype", None), "kind", "") == "O":
        return {"missing_values": NULL_CATEGORY}
    return {}


def _copy(model: Any) -> Any:
    try:
        return copy.deepcopy(model)
    except TypeError as error:
        raise Unsupported(f"{type(model).__name__} cannot be copied: {error}; take such attributes off the model") from error


def _initial_types(model: Any, columns: Sequence[Column], precision: Precision) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType

    number = DoubleTensorType if precision == "FP64" else FloatTensorType
    if _takes_matrix(model, columns):
        return [("input", number([None, len(columns)]))]
    if needs_columns(model, columns):
        text = Int64TensorType if _is_coded(model) else StringTensorType
        return [(c.name, (text if c.kind == "categorical" else number)([None, 1])) for c in columns]
    return [("input", number([None, len(columns)]))]


def _is_coded(model: Any) -> bool:
    return any(isinstance(part, Tabulated) for part in nested(model))


def _takes_matrix(model: Any, columns: Sequence[Column]) -> bool:
    """Whether columns are picked inside a wrapper (a stack, a calibration), which takes one matrix and no columns by name."""
    if hasattr(model, "steps") or type(model).__name__ == "ColumnTransformer":
        return False
    text = any(column.kind == "categorical" for column in columns)
    picks = any(type(part).__name__ == "ColumnTransformer" for part in nested(model))
    return _is_coded(model) or (picks and not text and hasattr(model, "feature_names_in_"))


def needs_columns(model: Any, columns: Sequence[Column]) -> bool:
    """True where the graph must have one input for each column: text among them, or columns picked by name."""
    picks = any(type(part).__name__ == "ColumnTransformer" for part in nested(model))
    return any(column.kind == "categorical" for column in columns) or (picks and hasattr(model, "feature_names_in_"))


def _options(model: Any) -> dict[Any, Any] | None:
    """No ZipMap (a list of dicts in place of a tensor) where the last step has one; LinearSVC wherever it is has none."""
    last = model
    while hasattr(last, "steps"):
        last = last.steps[-1][1]
    options: dict[Any, Any] = {type(part): {} for part in nested(model) if type(part).__name__ in _SCORES_ONLY}
    options |= {id(part): {"raw_scores": True, "zipmap": False} for part in _calibrated_scores(model)}
    if len(getattr(last, "classes_", ())) and type(last) not in options:
        options[id(last)] = {"zipmap": False}
    return options or None


def _calibrated_scores(model: Any) -> Iterator[Any]:
    """Last steps of pipelines that are calibrated by their decision function, of which skl2onnx takes the probabilities."""
    from skl2onnx._supported_operators import sklearn_operator_name_map
    from skl2onnx.common._registration import get_converter

    for part in nested(model):
        for calibrated in getattr(part, "calibrated_classifiers_", ()):
            inner = calibrated.estimator
            while hasattr(inner, "steps"):
                inner = inner.steps[-1][1]
            name = sklearn_operator_name_map.get(type(inner))
            if inner is calibrated.estimator or name is None or not hasattr(inner, "decision_function"):
                continue
            if "raw_scores" in (get_converter(name).get_allowed_options() or ()):
                yield inner


def _output_names(model: Any, role: Role) -> tuple[str, ...]:
    """Our names for skl2onnx's outputs, in order; "" drops one, such as scores that are no probabilities."""
    if role == "regressor":
        return ("prediction",)
    if role == "outlier":
        return ("label", "scores")
    return ("label", "probabilities") if role == "classifier" and hasattr(model, "predict_proba") else ("label", "")


def _suspect(model: Any, error: Exception) -> str:
    """The part of the model that the message names, else the model."""
    names = dict.fromkeys(type(part).__name__ for part in nested(model))
    found = [name for name in names if name in str(error) and name != "Pipeline"]
    return found[-1] if found else type(model).__name__
