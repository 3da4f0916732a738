"""Has a column's distribution moved? A reference prepared once, `detect` against it, and the detail of one column.

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> reference = prepare({"age": rng.normal(40, 9, 5_000), "city": rng.choice(["Oslo", "Rome"], 5_000)})
>>> now = {"age": rng.normal(40, 9, 1_000) * 12, "city": rng.choice(["Oslo", "Rome"], 1_000)}
>>> detect(reference, now).drifted
['age']
"""

from prodml_magics.stats.drift.detail import ColumnDetail, column_detail
from prodml_magics.stats.drift.detect import detect
from prodml_magics.stats.drift.detection import Detection
from prodml_magics.stats.drift.profile import from_arrow, to_arrow
from prodml_magics.stats.drift.reference import Reference, prepare
from prodml_magics.stats.drift.verdict import Tolerances

__all__ = ["ColumnDetail", "Detection", "Reference", "Tolerances", "column_detail", "detect", "from_arrow", "prepare", "to_arrow"]
