"""Our tree ensembles inside skl2onnx: its converters for tree models replaced by ours, in any pipeline.

skl2onnx knows ai.onnx.ml up to version 3. The operator is written under a domain of our own and given its true name once
the graph is complete, see `finish`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from prodml_magics.errors import Unsupported
from prodml_magics.registry.converters.ensembles import Ensemble, ensemble_of
from prodml_magics.registry.converters.trees import ensemble_attributes

__all__ = ["DOMAIN", "OPTIONS", "Emitter", "declare_numbers", "declare_outputs", "finish", "use_library", "use_own_trees"]

DOMAIN = "prodml.trees"
_FLOAT, _DOUBLE = 1, 11
"""Numbers of ONNX's element types."""
_FAMILIES = ("DecisionTree", "ExtraTree", "RandomForest", "ExtraTrees", "GradientBoosting", "HistGradientBoosting")
OPTIONS = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
"""What skl2onnx may ask of a classifier that we convert; what we ask of it is never a zipmap."""
_SIGMOIDS = ("sigmoid", "double_sigmoid")
_PLAIN_OPTIONS = ("zipmap", "nocl", "output_class_labels", "raw_scores")


@cache
def use_own_trees() -> None:
    """Put our converters of tree models in the place of skl2onnx's, for this process."""
    from skl2onnx.common._registration import (
        get_converter,
        get_shape_calculator,
        register_converter,
        register_shape_calculator,
    )

    for family in _FAMILIES:
        for task in ("Classifier", "Regressor"):
            original = get_converter(f"Sklearn{family}{task}")
            options = original.get_allowed_options()
            register_converter(f"Sklearn{family}{task}", _converter(original), overwrite=True, options=options)
            shapes = get_shape_calculator(f"Sklearn{family}{task}")
            register_shape_calculator(f"Sklearn{family}{task}", partial(_declare_double, shapes), overwrite=True)


def _declare_double(shapes: Callable[[Any], None], operator: Any) -> None:
    """What `shapes` declares, with numbers as wide as those that come in: skl2onnx has forests answer in float32."""
    from skl2onnx.common.data_types import DoubleTensorType

    shapes(operator)
    if any(isinstance(value.type, DoubleTensorType) for value in operator.inputs):
        operator.outputs[-1].type = DoubleTensorType(operator.outputs[-1].type.shape)


def use_library(part: Any, ensemble: Callable[[Any], Ensemble]) -> None:
    """Teach skl2onnx, for this process, the class of `part`, an estimator of another library whose trees `ensemble` reads."""
    from skl2onnx import update_registered_converter

    def convert(scope: Any, operator: Any, container: Any) -> None:
        Emitter(scope, container).emit(operator, ensemble(operator.raw_operator))

    kind = type(part)
    name = f"Prodml{kind.__module__.partition('.')[0]}{kind.__name__}"
    classifies = hasattr(kind, "predict_proba")
    parser = partial(_parse_classifier, name) if classifies and not _known_as_classifier(part) else None
    options = OPTIONS if classifies else None
    update_registered_converter(kind, name, declare_outputs, convert, options=options, parser=parser)


def _known_as_classifier(part: Any) -> bool:
    """Whether skl2onnx sees by the bases of `part` that it has two outputs; CatBoost's has no base of scikit-learn."""
    from sklearn.base import ClassifierMixin

    return isinstance(part, ClassifierMixin)


def _parse_classifier(alias: str, scope: Any, model: Any, inputs: list[Any], custom_parsers: Any = None) -> Any:
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

    operator = scope.declare_local_operator(alias, model)
    operator.inputs.extend(inputs)
    operator.outputs.append(scope.declare_local_variable("label", Int64TensorType()))
    operator.outputs.append(scope.declare_local_variable("probabilities", FloatTensorType()))
    return operator.outputs


def declare_numbers(operator: Any, width: int) -> None:
    """One output [rows, width] of a transformer, as wide as its inputs."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    double = any(isinstance(value.type, DoubleTensorType) for value in operator.inputs)
    operator.outputs[0].type = (DoubleTensorType if double else FloatTensorType)([None, width])


def declare_outputs(operator: Any) -> None:
    """The outputs: label and probabilities [rows, classes], or prediction [rows, 1], as wide as the inputs."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType

    number = DoubleTensorType if any(isinstance(value.type, DoubleTensorType) for value in operator.inputs) else FloatTensorType
    classes = getattr(operator.raw_operator, "classes_", None)
    if classes is None or not len(classes):  # CatBoost's regressors have an empty one
        operator.outputs[0].type = number([None, 1])
        return
    label = StringTensorType if np.asarray(classes).dtype.kind in "OUS" else Int64TensorType
    operator.outputs[0].type, operator.outputs[1].type = label([None]), number([None, len(classes)])


def _converter(original: Callable[..., None]) -> Callable[..., None]:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        options = scope.get_options(operator.raw_operator, fail=False) or {}
        plain = not any(value for key, value in options.items() if key not in _PLAIN_OPTIONS)
        ensemble = ensemble_of(operator.raw_operator) if plain else None
        if ensemble is None:
            original(scope, operator, container)
        else:
            Emitter(scope, container).emit(operator, ensemble, scores=bool(options.get("raw_scores")))

    return convert


class Emitter:
    """Adds nodes to a skl2onnx container; each method returns the name of its result."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope, self._container = scope, container

    def emit(self, operator: Any, ensemble: Ensemble, *, scores: bool = False) -> None:
        self.answer(operator, ensemble, self.sums(operator, ensemble), scores=scores)

    def answer(self, operator: Any, ensemble: Ensemble, sums: str, *, scores: bool = False) -> None:
        """The outputs of `operator`, by the link of `ensemble`; with `scores` its decision function in place of probabilities."""
        if len(operator.outputs) == 1:
            self._cast(self._prediction(ensemble, sums), operator.outputs[0])
            return
        if ensemble.link in _SIGMOIDS:
            self._answer_of_two(operator, ensemble, sums, scores=scores)
            return
        probabilities = self._probabilities(ensemble, sums)
        self._labels(operator, ensemble, probabilities if ensemble.by_probability else sums)
        self._cast(self._scores(ensemble, sums) if scores else probabilities, operator.outputs[1])

    def _answer_of_two(self, operator: Any, ensemble: Ensemble, sums: str, *, scores: bool) -> None:
        """Both classes at once, [-sum, sum]: half of the operators, each of which costs one row as much as three trees do."""
        slope = 1.0 if ensemble.link == "sigmoid" else 2.0  # exponential loss: half the log-odds are summed
        odds = self.node("Mul", [sums, self.constant(np.array([[-slope, slope]]))], version=14)
        probabilities = self.node("Sigmoid", [odds])
        self._labels(operator, ensemble, probabilities if ensemble.by_probability else odds)
        self._cast(self._scores(ensemble, sums) if scores else probabilities, operator.outputs[1])

    def _scores(self, ensemble: Ensemble, sums: str) -> str:
        """As skl2onnx has them: of two classes that of the first negated; of shares, which have none, the shares."""
        if ensemble.link == "share":
            return self._probabilities(ensemble, sums)
        if ensemble.n_targets > 1:
            return sums
        return self.node("Concat", [self.node("Neg", [sums]), sums], version=13, axis=1)

    def _prediction(self, ensemble: Ensemble, sums: str) -> str:
        if ensemble.link == "exp":
            return self._exp(ensemble, sums)
        return self._logistic(ensemble, sums) if ensemble.link == "logistic" else sums

    def sums(self, operator: Any, ensemble: Ensemble) -> str:
        """The sums [rows, targets] of the trees, divided as `ensemble` says."""
        rows, dtype = self._rows(operator, ensemble), np.float32 if ensemble.float_sums else np.float64
        attributes = ensemble_attributes(ensemble.trees, ensemble.targets, ensemble.n_targets, dtype)
        sums = self.node("TreeEnsemble", [rows], domain=DOMAIN, **attributes)
        return sums if ensemble.divisor == 1 else self.node("Div", [sums, self.constant(ensemble.divisor)], version=14)

    def _rows(self, operator: Any, ensemble: Ensemble) -> str:
        """What the trees look at: one matrix, in the type of their thresholds."""
        rows = self._joined(operator, ensemble)
        if (ensemble.float_input or ensemble.float_sums) and not _is_float(operator):
            rows = self.node("Cast", [rows], to=_FLOAT)
        if ensemble.missing is not None:
            stands = self.node("Equal", [rows, self.constant(np.float32(ensemble.missing))])
            rows = self.node("Where", [stands, self.constant(np.float32(np.nan)), rows], version=9)
        return rows if ensemble.float_sums else self._prepared(self.node("Cast", [rows], to=_DOUBLE), operator, ensemble)

    def _joined(self, operator: Any, ensemble: Ensemble) -> str:
        """One matrix of the inputs, text as the numbers of its levels."""
        from skl2onnx.common.data_types import StringTensorType

        texts = [isinstance(value.type, StringTensorType) for value in operator.inputs]
        if sum(texts) != len(ensemble.levels):
            name = type(operator.raw_operator).__name__
            raise Unsupported(f"{name} has categories that are no text; make them text, or numbers without categories")
        if len(texts) == 1 and not texts[0]:
            return str(operator.inputs[0].full_name)
        levels = iter(ensemble.levels)
        parts = [
            self._codes(value.full_name, next(levels)) if text else self.node("Cast", [value.full_name], to=_DOUBLE)
            for value, text in zip(operator.inputs, texts, strict=True)
        ]
        return self.node("Concat", parts, version=13, axis=1)

    def _codes(self, column: str, levels: Sequence[str]) -> str:
        codes = {level: float(code) for code, level in enumerate(levels)}
        found = self.node(
            "LabelEncoder",
            [column],
            domain="ai.onnx.ml",
            version=2,
            keys_strings=list(codes),
            values_floats=list(codes.values()),
            default_float=float("nan"),
        )
        return self.node("Cast", [found], to=_DOUBLE)

    def _prepared(self, rows: str, operator: Any, ensemble: Ensemble) -> str:
        """The library's own readings of a value: nothing where it is zero or unseen, whole numbers where it is a category."""
        count = operator.raw_operator.n_features_in_
        if ensemble.zero_missing:
            small = self.node("LessOrEqual", [self.node("Abs", [rows]), self.constant(float(np.float32(1e-35)))], version=16)
            both = self.node("And", [small, self._mask(ensemble.zero_missing, count)], version=7)
            rows = self.node("Where", [both, self.constant(np.nan), rows], version=9)
        if ensemble.whole:
            cut = self.node("Mul", [self.node("Sign", [rows]), self.node("Floor", [self.node("Abs", [rows])])], version=14)
            rows = self.node("Where", [self._mask(ensemble.whole, count), cut, rows], version=9)
        for column, known in ensemble.known.items():
            rows = self._unseen_missing(rows, column, known.astype(np.float64), self._mask([column], count))
        return rows

    def _unseen_missing(self, rows: str, column: int, known: np.ndarray, mask: str) -> str:
        """NaN in `column`, which alone is true in `mask`, where its value is none of the `known`."""
        values = self.node("Gather", [rows, self.constant(np.array([column]))], version=13, axis=1)
        same = self.node("Cast", [self.node("Equal", [values, self.constant(known[None, :])])], to=_FLOAT)
        most = self.node("ReduceMax", [same, self.constant(np.array([1]))], version=18, keepdims=1)
        unseen = self.node("Not", [self.node("Cast", [most], to=9)], version=1)
        return self.node("Where", [self.node("And", [unseen, mask], version=7), self.constant(np.nan), rows], version=9)

    def _mask(self, columns: Sequence[int], count: int) -> str:
        return self.constant(np.isin(np.arange(count), columns)[None, :])

    def _probabilities(self, ensemble: Ensemble, sums: str) -> str:
        if ensemble.link == "share":
            return sums
        if ensemble.link == "softmax":
            return self._softmax(ensemble, sums)
        shares = self._logistic(ensemble, sums)
        return shares if ensemble.n_targets > 1 else self._both(shares, ensemble)

    def _both(self, second: str, ensemble: Ensemble) -> str:
        first = self.node("Sub", [self._one(ensemble), second], version=14)
        return self.node("Concat", [first, second], version=13, axis=1)

    def _softmax(self, ensemble: Ensemble, sums: str) -> str:
        if not ensemble.by_probability:
            return self.node("Softmax", [sums], version=13, axis=1)
        axis = self.constant(np.array([1]))
        below = self.node("Sub", [sums, self.node("ReduceMax", [sums, axis], version=18, keepdims=1)], version=14)
        powers = self._exp(ensemble, below)
        total = self.node("ReduceSum", [self.node("Cast", [powers], to=_DOUBLE), axis], version=13, keepdims=1)
        return self.node("Div", [powers, self._narrowed(ensemble, total)], version=14)

    def _logistic(self, ensemble: Ensemble, sums: str) -> str:
        slope = np.float32(-1) if ensemble.float_sums else np.float64(-ensemble.slope)
        powers = self._exp(ensemble, self.node("Mul", [sums, self.constant(slope)], version=14))
        below = self.node("Add", [self._one(ensemble), powers], version=14)
        return self.node("Div", [self._one(ensemble), below], version=14)

    def _exp(self, ensemble: Ensemble, value: str) -> str:
        """In double, then rounded where the library computes in float32: onnxruntime's own float32 is an approximation."""
        wide = self.node("Cast", [value], to=_DOUBLE)
        return self._narrowed(ensemble, self.node("Exp", [wide]))

    def _narrowed(self, ensemble: Ensemble, value: str) -> str:
        return self.node("Cast", [value], to=_FLOAT) if ensemble.float_sums else value

    def _one(self, ensemble: Ensemble) -> str:
        return self.constant(np.float32(1) if ensemble.float_sums else np.float64(1))

    def _labels(self, operator: Any, ensemble: Ensemble, sums: str) -> None:
        """The class of the largest of `sums`, the first of equal ones or with `at_zero` the last; of one sum the second above 0."""
        output, classes = operator.outputs[0].full_name, operator.raw_operator.classes_
        counted = classes.dtype.kind in "iu" and np.array_equal(classes, np.arange(len(classes)))
        place = output if counted else self.name("place")
        if ensemble.n_targets == 1 and ensemble.link == "logistic" and not ensemble.by_probability:
            second = self.node("Greater", [sums, self.constant(0.0)], version=13)
            flat = self.node("Reshape", [second, self.constant(np.array([-1]))], version=14)
            self.put("Cast", [flat], place, to=7)
        else:
            last = int(ensemble.at_zero and ensemble.n_targets == 1)
            self.put("ArgMax", [sums], place, version=13, axis=1, keepdims=0, select_last_index=last)
        if not counted:
            levels = self.constant(classes.astype(object) if classes.dtype.kind in "OUS" else classes.astype(np.int64))
            self.put("Gather", [levels, place], output, version=13, axis=0)

    def _cast(self, value: str, output: Any) -> None:
        from skl2onnx.common.data_types import guess_proto_type

        wide = guess_proto_type(output.type) == 11
        self.put("Cast", [value], output.full_name, version=13, to=_DOUBLE if wide else _FLOAT)

    def constant(self, value: Any) -> str:
        from onnx import helper

        array = np.asarray(value)
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        values = [text.encode() for text in array.tolist()] if array.dtype == object else array.ravel().tolist()
        name = self.name("constant")
        self._container.add_initializer(name, kind, array.shape, values)
        return name

    def node(self, operator: str, inputs: list[str], *, domain: str = "", version: int = 13, **attributes: Any) -> str:
        return self.put(operator, inputs, self.name(operator.lower()), domain=domain, version=version, **attributes)

    def name(self, stem: str) -> str:
        """A name that no value of the graph has."""
        return str(self._scope.get_unique_variable_name(stem))

    def joined(self, operator: Any) -> str:
        """The inputs of `operator` as one matrix."""
        names = [str(value.full_name) for value in operator.inputs]
        return names[0] if len(names) == 1 else self.node("Concat", names, version=13, axis=1)

    def split(self, rows: str, count: int) -> list[str]:
        """The columns of `rows` [rows, count], each [rows, 1]."""
        names = [self.name("column") for _ in range(count)]
        name = self._scope.get_unique_operator_name("Split")
        sizes = self.constant(np.ones(count, np.int64))
        self._container.add_node("Split", [rows, sizes], names, op_version=13, name=name, axis=1)
        return names

    def put(
        self, operator: str, inputs: list[str], output: str, *, domain: str = "", version: int = 13, **attributes: Any
    ) -> str:
        name = self._scope.get_unique_operator_name(operator)
        version = 1 if domain == DOMAIN else version
        self._container.add_node(operator, inputs, [output], op_domain=domain, op_version=version, name=name, **attributes)
        return output


def _is_float(operator: Any) -> bool:
    """Whether the rows are one matrix of float32 already."""
    return len(operator.inputs) == 1 and type(operator.inputs[0].type).__name__ == "FloatTensorType"


def finish(model: Any) -> None:
    """Give our operators in `model` their true domain, in place.

    Raises `ValueError` when operators of the older kind are left, which ai.onnx.ml 5 has withdrawn.
    """
    ours = [node for node in model.graph.node if node.domain == DOMAIN]
    if not ours:
        return
    if any(node.op_type in ("TreeEnsembleClassifier", "TreeEnsembleRegressor") for node in model.graph.node):
        raise ValueError("tree operators of two kinds in one graph")
    for node in ours:
        node.domain = "ai.onnx.ml"
    kept = [opset for opset in model.opset_import if opset.domain not in (DOMAIN, "ai.onnx.ml")]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    model.opset_import.add(domain="ai.onnx.ml", version=5)
    model.ir_version = max(model.ir_version, 9)
