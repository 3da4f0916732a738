from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys
import prodml_magics.views.drift_picture, prodml_magics.views.drift_widget, prodml_magics.views.html
import prodml_magics.views.shadow_picture, prodml_magics.views.text, prodml_magics.views.timeline_picture
heavy = {"altair", "vl_convert", "anywidget", "ipywidgets", "traitlets", "polars"} & set(sys.modules)
assert not heavy, heavy
"""


def test_importing_the_room_loads_no_drawing_library() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", _PROGRAM], check=True, timeout=60)
