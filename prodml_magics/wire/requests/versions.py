"""Verbs that make versions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from prodml_magics.wire.requests.base import Request, flag, positional

__all__ = ["Optimize", "Register"]


class Register(Request, frozen=True):
    """Convert a model to ONNX, prove that it answers the same, and record it as a new version in MLflow."""

    model: Annotated[
        Any,
        positional(
            "fitted scikit-learn, XGBoost or LightGBM model or pipeline, a PyTorch module, a JAX function (jitted, or with its "
            "parameters as a pair), or an .onnx file; more with --trust",
            "MODEL",
            reference=True,
        ),
    ]
    name: Annotated[str, flag("name of the registered model", "NAME", completes="model")]
    train: Annotated[tuple[Any, ...], flag("training features, and target", "X [y]", reference=True, most=2)] = ()
    test: Annotated[tuple[Any, ...], flag("held-out features, and target", "X [y]", reference=True, most=2)] = ()
    task: Annotated[Literal["auto", "classification", "regression", "other"], flag("what the model does")] = "auto"
    description: Annotated[str, flag("text for the model version", "TEXT")] = ""
    mask: Annotated[
        tuple[str, ...],
        flag(
            "columns of which the profile keeps a coarse sketch only, and none of its 10,000 rows (those of %deploy --mask are added)",
            "COLUMN",
        ),
    ] = ()
    exact: Annotated[
        bool, flag("keep every value of the training rows in the profile; of more than 100,000 it holds a sketch otherwise")
    ] = False
    key: Annotated[
        str, flag("column whose value says whose row it is, such as user_id: what canaries split the traffic by", "COLUMN")
    ] = ""
    trust: Annotated[
        bool,
        flag(
            "also take what has no exact ONNX form: other estimators, functions over frames, pickled files; they are served as "
            "Python by a process of their own. Only for models that you made: a pickle can run any code"
        ),
    ] = False


class Optimize(Request, frozen=True):
    """Make smaller and faster variants of a network's ONNX file, measure them, and keep those that answer well enough."""

    model: Annotated[str, positional("version, as NAME@VERSION (default: NAME@candidate)", "NAME[@V]", completes="version")]
    test: Annotated[
        tuple[Any, ...],
        flag("at least 256 rows to calibrate and judge by, and their target", "X [y]", reference=True, most=2),
    ] = ()
    int8: Annotated[bool, flag("INT8 only: of the weights, and with calibrated activations")] = False
    fp16: Annotated[bool, flag("FP16 only, for GPUs: on a CPU it is seldom faster")] = False
    auto: Annotated[bool, flag("all of them (default)")] = False
    max_drop: Annotated[
        str, flag("what a variant may lose of its accuracy, or of labels that stay the same, such as 0.5%", "SHARE")
    ] = "0.5%"
