"""What was recorded of a past rollout: its requests in order, and whose answers they got."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prodml_magics.rollouts.fold import Requests
from prodml_magics.rollouts.late import Late

__all__ = ["Recorded", "units_of"]


class Recorded(NamedTuple):
    """Requests in order of arrival, [requests] each; those from before the rollout are only lent from."""

    second: NDArray[np.float64]
    """Since the rollout began."""
    candidate: NDArray[np.bool_]
    """Who answered, or rejected it."""
    share: NDArray[np.float64]
    """With which it was randomised in this rollout; 0 where it was not."""
    answers: Requests
    """What was answered; `canary` and `step` are not looked at."""
    late: Mapping[str, Late] = MappingProxyType({})
    """What came of labels, by guard that waits for them."""


def units_of(recorded: Recorded) -> NDArray[np.int64]:
    """The unit of each request [requests], in [0, 2 · requests): its key's, or its own."""
    names = {name: index for index, name in enumerate(dict.fromkeys(key for key in recorded.answers.key if key))}
    return np.array([names[key] if key else len(names) + index for index, key in enumerate(recorded.answers.key)], np.int64)
