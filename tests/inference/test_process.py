"""What a child process may take."""

from __future__ import annotations

import subprocess
import sys

CODE = """
from prodml_magics.inference.process import limit_memory
limit_memory(2**28)
bytearray(2**27)
try:
    bytearray(2**29)
except MemoryError:
    print("refused")
"""


def test_a_process_gets_no_more_memory_than_it_was_given() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "refused"
