"""Tab in a real IPython shell."""

from __future__ import annotations

import pytest
from homes import add_version

from prodml_magics.actions.workspace import Workspace
from prodml_magics.magics.completion import candidates
from prodml_magics.wire.requests import VERBS

from .conftest import Notebook

VERSIONS = ["cancer", "cancer@1", "cancer@2", "cancer@candidate", "cancer@live", "cancer@previous"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("%prodml ", list(VERBS)),
        ("%prodml dr", ["drift"]),
        ("%prodml drift --al", ["--alpha"]),
        ("%drift --wi", ["--window"]),
        ("x = %drift --de", ["--device"]),
        ("%drift cancer --device ", ["auto", "cpu", "gpu"]),
        ("%drift cancer --arm se", ["served"]),
        ("%register model --task cl", ["classification"]),
        ("%register model --name c", ["cancer"]),
        ("%drift c", ["cancer"]),
        ("%deploy ", VERSIONS),
        ("%deploy cancer@", [each for each in VERSIONS if "@" in each]),
        ("%shadow cancer@c", ["cancer@candidate"]),
        ("%up --", ["--port", "--workers", "--host", "--tls-cert", "--tls-key", "--help"]),
    ],
)
def test_tab_offers_verbs_flags_choices_models_and_versions(notebook: Notebook, line: str, offered: list[str]) -> None:
    assert sorted(notebook.complete(line)) == sorted(offered)


def test_a_version_that_was_just_registered_is_offered(notebook: Notebook, workspace: Workspace) -> None:
    assert "cancer@3" not in notebook.complete("%deploy cancer@")
    add_version(workspace, 3)
    assert "cancer@3" in notebook.complete("%deploy cancer@")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("%register fo", ["forest"]),
        ("%register forest --train X_", ["X_test", "X_train"]),
        ("%register forest --train X_train y_", ["y_train"]),
        ("%register --train X_train y_train fo", ["forest"]),
        ("%drift X", ["X_test", "X_train"]),
        ("%drift ", ["X_test", "X_train", "cancer", "forest", "y_train"]),
        ("%prodml drift X_train X_te", ["X_test"]),
    ],
)
def test_tab_offers_the_notebook_s_own_objects_where_one_is_meant(notebook: Notebook, line: str, offered: list[str]) -> None:
    notebook.run("import json", "X_train = X_test = y_train = forest = _private = 1")
    assert sorted(notebook.complete(line)) == offered


def test_tab_works_on_a_later_line_of_a_cell(notebook: Notebook) -> None:
    assert notebook.complete("forest = 1\n%drift c") == ["cancer"]


def test_tab_stays_silent_where_the_line_is_not_ours_or_text_is_meant(notebook: Notebook, workspace: Workspace) -> None:
    for line in (
        "deploy can",
        "%matplotlib in",
        "%deploy",
        "%deploy cancer --why c",
        "y = 3 %drift",
        "%status ",
        "%drift c --last 5",
    ):
        assert candidates(line, workspace, ["c"]) is None, line
    assert "frame_of_mine" in notebook.complete("frame_of_mine = 1\nframe_of")
