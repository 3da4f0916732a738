"""``python -m prodml_magics``: the same as ``prodml``."""

from prodml_magics.cli.main import run

run()
