"""Rows of the tables of models, converted and proved in this process."""

from __future__ import annotations

from typing import Any

from registry.cases import Case, fitted, load
from registry.here import Here

from prodml_magics.contract.codes import feeds_of
from prodml_magics.contract.infer import infer_columns
from prodml_magics.contract.schema import Contract
from prodml_magics.inference.fed import fed
from prodml_magics.inference.runner import Runner
from prodml_magics.inference.session import open_session
from prodml_magics.registry.frames import columns_of
from prodml_magics.registry.prove import Proved, convert_exactly
from prodml_magics.registry.reference import Reference
from prodml_magics.registry.roles import class_labels, role_of, unwrap

__all__ = ["drafted", "opened", "proved"]


def drafted(case: Case) -> tuple[Any, Contract, Reference]:
    """The fitted model of a row, its contract without tensors, and the model as what answers."""
    model, data = fitted(case), load(case.data)
    role = role_of(model)
    classes = class_labels(unwrap(model)) if role == "classifier" else ()
    columns = infer_columns(columns_of(data.train))
    draft = Contract(task="other", columns=columns, inputs=(), outputs=(), classes=classes)
    return model, draft, Reference(model, role, draft.columns, data.train)


def proved(case: Case) -> tuple[Proved, Reference]:
    """The exact conversion of a row; raises as `convert_exactly` does."""
    _, draft, reference = drafted(case)
    return convert_exactly(Here(), draft, reference, columns_of(load(case.data).train), None), reference


def opened(model: bytes, contract: Contract) -> Runner:
    """A session that takes what clients send."""
    return fed(open_session(model, device="cpu"), feeds_of(contract))
