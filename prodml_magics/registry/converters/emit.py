"""Our tree ensembles inside skl2onnx: its converters for tree models replaced by ours, in any pipeline.

skl2onnx knows ai.onnx.ml up to version 3. The operator is written under a domain of our own and given its true name once
the graph is complete, see `finish`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from prodml_magics.registry.converters.ensembles import Ensemble, ensemble_of
from prodml_magics.registry.converters.trees import ensemble_attributes

__all__ = ["finish", "use_own_trees"]

_DOMAIN = "prodml.trees"
_FAMILIES = ("DecisionTree", "ExtraTree", "RandomForest", "ExtraTrees", "GradientBoosting", "HistGradientBoosting")
_PLAIN_OPTIONS = ("zipmap", "nocl", "output_class_labels")


@cache
def use_own_trees() -> None:
    """Put our converters of tree models in the place of skl2onnx's, for this process."""
    from skl2onnx.common._registration import get_converter, register_converter

    for family in _FAMILIES:
        for task in ("Classifier", "Regressor"):
            original = get_converter(f"Sklearn{family}{task}")
            options = original.get_allowed_options()
            register_converter(f"Sklearn{family}{task}", _converter(original), overwrite=True, options=options)


def _converter(original: Callable[..., None]) -> Callable[..., None]:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        options = scope.get_options(operator.raw_operator, fail=False) or {}
        plain = not any(value for key, value in options.items() if key not in _PLAIN_OPTIONS)
        ensemble = ensemble_of(operator.raw_operator) if plain else None
        if ensemble is None:
            original(scope, operator, container)
        else:
            _Emitter(scope, container).emit(operator, ensemble)

    return convert


class _Emitter:
    """Adds nodes to a skl2onnx container; each method returns the name of its result."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope, self._container = scope, container

    def emit(self, operator: Any, ensemble: Ensemble) -> None:
        sums = self._sums(operator, ensemble)
        if len(operator.outputs) == 1:
            value = self._node("Exp", [sums]) if ensemble.link == "exp" else sums
            self._cast(value, operator.outputs[0])
            return
        self._labels(operator, ensemble, sums)
        self._cast(self._probabilities(ensemble, sums), operator.outputs[1])

    def _sums(self, operator: Any, ensemble: Ensemble) -> str:
        rows = operator.inputs[0].full_name
        if ensemble.float_input:
            rows = self._node("Cast", [rows], to=1)
        rows = self._node("Cast", [rows], to=11)
        attributes = ensemble_attributes(ensemble.trees, ensemble.targets, ensemble.n_targets)
        sums = self._node("TreeEnsemble", [rows], domain=_DOMAIN, **attributes)
        return sums if ensemble.divisor == 1 else self._node("Div", [sums, self._constant(ensemble.divisor)])

    def _probabilities(self, ensemble: Ensemble, sums: str) -> str:
        if ensemble.link == "share":
            return sums
        if ensemble.link == "softmax":
            return self._node("Softmax", [sums], version=13, axis=1)
        if ensemble.link == "double_sigmoid":  # exponential loss: half the log-odds are summed
            sums = self._node("Mul", [sums, self._constant(2.0)])
        second = self._node("Sigmoid", [sums])
        first = self._node("Sub", [self._constant(1.0), second], version=14)
        return self._node("Concat", [first, second], version=13, axis=1)

    def _labels(self, operator: Any, ensemble: Ensemble, sums: str) -> None:
        if ensemble.n_targets == 1 and ensemble.link != "share":
            compare = "GreaterOrEqual" if ensemble.at_zero else "Greater"
            second = self._node(compare, [sums, self._constant(0.0)], version=16 if ensemble.at_zero else 13)
            flat = self._node("Reshape", [second, self._constant(np.array([-1]))], version=14)
            place = self._node("Cast", [flat], to=7)
        else:
            place = self._node("ArgMax", [sums], version=13, axis=1, keepdims=0)
        classes = operator.raw_operator.classes_
        text = classes.dtype.kind in "OUS"
        levels = self._constant(classes.astype(object) if text else classes.astype(np.int64))
        self._add("Gather", [levels, place], operator.outputs[0].full_name, version=13, axis=0)

    def _cast(self, value: str, output: Any) -> None:
        from skl2onnx.common.data_types import guess_proto_type

        wide = guess_proto_type(output.type) == 11
        self._add("Cast", [value], output.full_name, version=13, to=11 if wide else 1)

    def _constant(self, value: Any) -> str:
        from onnx import helper

        array = np.asarray(value)
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        values = [text.encode() for text in array.tolist()] if array.dtype == object else array.ravel().tolist()
        name = self._scope.get_unique_variable_name("constant")
        self._container.add_initializer(name, kind, array.shape, values)
        return name

    def _node(self, operator: str, inputs: list[str], *, domain: str = "", version: int = 13, **attributes: Any) -> str:
        name = self._scope.get_unique_variable_name(operator.lower())
        self._add(operator, inputs, name, domain=domain, version=version, **attributes)
        return name

    def _add(
        self, operator: str, inputs: list[str], output: str, *, domain: str = "", version: int = 13, **attributes: Any
    ) -> None:
        name = self._scope.get_unique_operator_name(operator)
        version = 1 if domain else version
        self._container.add_node(operator, inputs, [output], op_domain=domain, op_version=version, name=name, **attributes)


def finish(model: Any) -> None:
    """Give our operators in `model` their true domain, in place.

    Raises `ValueError` when operators of the older kind are left, which ai.onnx.ml 5 has withdrawn.
    """
    ours = [node for node in model.graph.node if node.domain == _DOMAIN]
    if not ours:
        return
    if any(node.op_type in ("TreeEnsembleClassifier", "TreeEnsembleRegressor") for node in model.graph.node):
        raise ValueError("tree operators of two kinds in one graph")
    for node in ours:
        node.domain = "ai.onnx.ml"
    kept = [opset for opset in model.opset_import if opset.domain not in (_DOMAIN, "ai.onnx.ml")]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    model.opset_import.add(domain="ai.onnx.ml", version=5)
    model.ir_version = max(model.ir_version, 9)
