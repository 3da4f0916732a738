"""``docs/conversion.md``, written from the tables that the tests go through: ``python tests/registry/page.py > docs/conversion.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from registry.cases import CASES, VECTORISERS, Case
from registry.cases_libraries import CATBOOST, LIGHTGBM, XGBOOST

from prodml_magics.registry.converters.families import FAMILIES
from prodml_magics.registry.converters.primitives import ELEMENTWISE, PRIMITIVES
from prodml_magics.registry.converters.sklearn import INEXACT

__all__ = ["page"]

_OUTCOMES = {
    "FP32": "exact, FP32 inputs",
    "FP64": "exact, FP64 inputs",
    "refused": "refused by the parity gate",
    "unsupported": "refused by name",
}
_TABLES = {"scikit-learn": CASES, "XGBoost": XGBOOST, "LightGBM": LIGHTGBM, "CatBoost": CATBOOST}


def page() -> str:
    """The text of the page."""
    return "\n".join(
        [*_head(), *_families(), *(line for name, cases in _TABLES.items() for line in _table(name, cases)), *_rest()]
    )


def _head() -> list[str]:
    every = [case for cases in _TABLES.values() for case in cases]
    exact = sum(case.outcome in ("FP32", "FP64") for case in every)
    silent = sum(case.silent for case in every)
    return [
        "# What converts",
        "",
        "A model is converted exactly, or refused with the step at fault; `--trust` serves what is refused as Python. Exact: on test rows,",
        "training rows, rows with missing values, unseen categories, rows at the split points of trees and one float beside them,",
        "alone and in batches, labels agree and numbers differ by at most 1e-5 (probabilities) or 1e-5 of their size and spread.",
        "",
        "Text goes into a graph as numbers where encoders alone read it (OneHotEncoder, OrdinalEncoder, TargetEncoder, with imputers",
        "before and scalers behind them): the contract holds the number of each level, of a missing and of an unseen one, and clients",
        "go on sending text. A level that the encoder refuses is refused at the door. Where a column holds empty text as well as missing",
        "values, the character U+0000 stands for a missing one in tensors; in JSON rows it is null.",
        "",
        "scikit-learn's trees and LightGBM's agree to 1e-12 where inputs are FP64. XGBoost sums in float32, in the order of its trees and",
        "from its base score on; so does the file, and the sums have the same bits. Its probabilities, and what goes through an",
        "exponential, may differ in the last bit of a float32, 6e-8, where its `expf` is not the nearest float.",
        "",
        f"This page is written from the tables that the tests go through: {len(every)} estimators and options, {exact} of them exact and "
        f"{len(every) - exact} refused.",
        f"Those marked • ({silent}) are converted without an error, and wrongly, by skl2onnx 1.20 or onnxmltools 1.16.",
        "",
    ]


def _families() -> list[str]:
    forms = {"": "not converted", "sklearn": "skl2onnx, with converters of our own where it is wrong"}
    lines = ["| family | how |", "|---|---|"]
    for family in FAMILIES:
        form = forms.get(family.converter, f"`registry/converters/{family.converter}.py`")
        lines.append(f"| {family.name} | {form}{', of one array' if family.network else ''} |")
    return [*lines, "| ONNX files | as they are, once the safety gate has passed them |", ""]


def _table(name: str, cases: Sequence[Case]) -> Iterator[str]:
    yield from (f"## {name}", "", "| model | outcome |", "|---|---|")
    for case in cases:
        yield f"| {case.name}{' •' if case.silent else ''} | {_OUTCOMES[case.outcome]} |"
    yield ""


def _rest() -> list[str]:
    names = sorted({*ELEMENTWISE, *PRIMITIVES} - {"dim_as_value"})
    vectorisers = " and ".join(f"`{vectoriser.__name__}`" for vectoriser in VECTORISERS)
    return [
        "## Never",
        "",
        *(f"- `{name}`: {reason}" for name, reason in INEXACT.items()),
        "",
        f"{vectorisers} are among those that skl2onnx converts wrongly without an error.",
        "",
        "## JAX",
        "",
        "A function of one array, jitted or as a pair with its parameters, made of these primitives, the calls between them inlined:",
        "",
        ", ".join(f"`{name}`" for name in names) + ".",
        "",
        "Another one is refused by its name, as is a function whose answer to a row depends on the rows beside it.",
        "",
    ]


if __name__ == "__main__":
    sys.stdout.write(page())
