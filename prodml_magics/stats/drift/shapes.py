"""Shapes in annotations, as jaxtyping writes them: ``Float[Array, "rows columns"]`` is an array of floats with two named axes.

An axis that is named twice in one signature has one size; ``...`` stands for any axes before it. A single name begins with a space
(jaxtyping's own advice), so that nobody takes it for the name of a type. A test loads jaxtyping and has it check every call. Where
nobody has loaded it, shapes mean Any: the room needs numpy and jax alone, and does not pay for an import that checks nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeAlias

__all__ = ["Array", "Bool", "Float", "Int", "Real"]

Array: TypeAlias = Any
"""Of NumPy or of JAX; annotations that say ``NDArray`` take NumPy's only."""

if TYPE_CHECKING:
    from typing import Annotated as Bool
    from typing import Annotated as Float
    from typing import Annotated as Int
    from typing import Annotated as Real
elif sys.modules.get("jaxtyping"):
    from jaxtyping import Bool, Float, Int, Real
else:

    class _Unchecked:
        def __class_getitem__(cls, shape: tuple[Any, str]) -> Any:
            return Any

    Bool = Float = Int = Real = _Unchecked
