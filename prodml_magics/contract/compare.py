"""Whether clients of one contract can go on under another: BACKWARD, FORWARD or FULL."""

from __future__ import annotations

from typing import Literal

from prodml_magics.contract.schema import CodeTable, Column, Contract, Tensor

__all__ = ["compare", "stand_in_problem"]


def compare(old: Contract, new: Contract, mode: Literal["BACKWARD", "FORWARD", "FULL"] = "BACKWARD") -> tuple[str, ...]:
    """What breaks, one line each; empty when the contracts are compatible.

    BACKWARD: a client written for `old` is served by `new`, its requests accepted and its reading of answers still right.
    FORWARD: a client written for `new` is served by `old`. FULL: both.
    """
    backward = _broken(old, new) if mode in ("BACKWARD", "FULL") else ()
    forward = _broken(new, old) if mode in ("FORWARD", "FULL") else ()
    return tuple(dict.fromkeys((*backward, *forward)))


def stand_in_problem(stand_in: Contract, version: Contract) -> str | None:
    """Why a request that was read for `version` cannot be answered by `stand_in` as it is; None when it can.

    Both must read the same tensors of the same columns, and answer with the same outputs.
    """
    pairs: tuple[tuple[str, object, object], ...] = (
        ("columns", [_read_as(column) for column in stand_in.columns], [_read_as(column) for column in version.columns]),
        ("input tensors", [f"{t.name} {_form(t)}" for t in stand_in.inputs], [f"{t.name} {_form(t)}" for t in version.inputs]),
        ("outputs", [f"{t.name} {t.datatype}" for t in stand_in.outputs], [f"{t.name} {t.datatype}" for t in version.outputs]),
    )
    return next((f"its {what} are {one}, not {other}" for what, one, other in pairs if one != other), None)


def _read_as(column: Column) -> tuple[str, ...]:
    """Name, kind, and how a missing value is written where that is not as usual."""
    return (column.name, column.kind, *([repr(column.null)] if column.null else []))


def _broken(client: Contract, server: Contract) -> tuple[str, ...]:
    """What fails when a client of `client` talks to a model of `server`."""
    columns = _columns(client, server)
    tensors = () if columns else _inputs(client, server)
    return (*columns, *tensors, *_outputs(client, server))


def _columns(client: Contract, server: Contract) -> tuple[str, ...]:
    sent = {column.name: column for column in client.columns}
    wanted = {column.name: column for column in server.columns}
    found = [f"column {name!r} is sent but not known" for name in sent if name not in wanted]
    found += [f"column {name!r} is needed but not sent" for name in wanted if name not in sent]
    found += [line for name in sent if name in wanted for line in _column(sent[name], wanted[name])]
    found += [line for table in server.codes if table.column in sent for line in _levels(client, table)]
    if not found and list(sent) != list(wanted):
        found.append(f"the order of the columns changes from {', '.join(sent)} to {', '.join(wanted)}")
    return tuple(found)


def _column(sent: Column, wanted: Column) -> list[str]:
    if sent.kind != wanted.kind:
        return [f"column {sent.name!r} is sent as {sent.kind} but read as {wanted.kind}"]
    if sent.kind == "categorical" and sent.dtype != wanted.dtype:
        return [f"column {sent.name!r} is sent as {sent.dtype} but read as {wanted.dtype}"]
    if sent.kind == "numeric" and sent.dtype != wanted.dtype and "bool" in (sent.dtype, wanted.dtype):
        return [f"column {sent.name!r} is sent as {sent.dtype} but read as {wanted.dtype}"]
    if sent.unit and wanted.unit and sent.unit != wanted.unit:
        return [f"column {sent.name!r} is sent in {sent.unit} but read in {wanted.unit}"]
    if sent.nullable and not wanted.nullable:
        return [f"column {sent.name!r} may be missing when sent, but is refused when missing"]
    if sent.nullable and sent.null != wanted.null:
        return [f"column {sent.name!r} is sent with {sent.null!r} for a missing value, but read with {wanted.null!r}"]
    if "" in sent.categories and wanted.nullable and not wanted.null:
        return [f"column {sent.name!r} is sent with empty text as a level, but read as missing"]
    return []


def _levels(client: Contract, table: CodeTable) -> list[str]:
    """What a model that refuses levels, or missing values, of a column refuses of what clients send."""
    own = next((each for each in client.codes if each.column == table.column), None)
    if table.nullable and table.missing is None and (own is None or own.missing is not None):
        return [f"column {table.column!r} may be missing when sent, but is refused when missing"]
    if table.unseen is not None:
        return []
    if own is None or own.unseen is not None:
        return [f"column {table.column!r} is sent with any text, but levels that it was not fitted on are refused"]
    refused = [level for level in own.categories if level not in set(table.categories)]
    return [f"column {table.column!r} is sent with the level {level!r}, which is refused" for level in refused[:1]]


def _inputs(client: Contract, server: Contract) -> tuple[str, ...]:
    sent = {tensor.name: tensor for tensor in client.inputs}
    wanted = {tensor.name: tensor for tensor in server.inputs}
    found = [f"input tensor {name!r} is sent but not known" for name in sent if name not in wanted]
    found += [f"input tensor {name!r} is needed but not sent" for name in wanted if name not in sent]
    found += [
        f"input tensor {name!r} is sent as {_form(sent[name])} but read as {_form(wanted[name])}"
        for name in sent
        if name in wanted and not _readable(sent[name], wanted[name])
    ]
    return tuple(found)


def _readable(sent: Tensor, wanted: Tensor) -> bool:
    widened = sent.datatype == "FP32" and wanted.datatype == "FP64"
    fits = len(sent.shape) == len(wanted.shape) and all(w in (-1, s) for s, w in zip(sent.shape, wanted.shape, strict=True))
    return fits and (sent.datatype == wanted.datatype or widened)


def _outputs(client: Contract, server: Contract) -> tuple[str, ...]:
    given = {tensor.name: tensor for tensor in server.outputs}
    found = [f"output {tensor.name!r} is read but not given" for tensor in client.outputs if tensor.name not in given]
    found += [
        f"output {tensor.name!r} is read as {_form(tensor)} but given as {_form(given[tensor.name])}"
        for tensor in client.outputs
        if tensor.name in given and tensor != given[tensor.name]
    ]
    if client.classes != server.classes:
        found.append(f"classes are read as {list(client.classes)} but given as {list(server.classes)}")
    return tuple(found)


def _form(tensor: Tensor) -> str:
    return f"{tensor.datatype} {list(tensor.shape)}"
