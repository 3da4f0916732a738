"""All numeric columns at once: what no column shows alone, such as a correlation that broke.

Functions of two row matrices [rows, columns], standardised by the reference. `JOINT` is their table; `detect` runs those that
are named. They are never run unasked, because they take time that grows with the square of the rows.
"""

from prodml_magics.stats.drift.joint.table import JOINT, JointFinding, find_jointly, find_nothing

__all__ = ["JOINT", "JointFinding", "find_jointly", "find_nothing"]
