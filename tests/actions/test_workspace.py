"""The home: where it is found, what it is called, what looking at it does."""

from __future__ import annotations

from pathlib import Path

import pytest
from homes import add_version, workspace_at
from sqlalchemy.engine import make_url

from prodml_magics.actions.workspace import Workspace, find_home
from prodml_magics.clock import SystemClock
from prodml_magics.errors import NotFound, Unavailable


def test_the_home_is_the_named_one_else_the_nearest_upwards_else_here(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert find_home(deep, {}) == deep / ".prodml"
    (tmp_path / ".prodml").mkdir()
    assert find_home(deep, {}) == tmp_path / ".prodml"
    (tmp_path / "a" / ".prodml").write_text("a file is no home")
    assert find_home(deep, {}) == tmp_path / ".prodml"
    assert find_home(deep, {"PRODML_HOME": str(tmp_path / "x")}) == tmp_path / "x"
    assert find_home(deep, {"PRODML_HOME": ""}) == tmp_path / ".prodml"
    assert find_home(deep, {"PRODML_HOME": "~/there"}) == Path.home() / "there"


@pytest.mark.parametrize("name", ["plain", "my project", "día #2", "50% off?", "a%20b", "it's; x=1&y", "ünï@code:8080"])
def test_a_folder_of_any_name_can_be_a_home(tmp_path: Path, name: str) -> None:
    workspace = workspace_at(tmp_path / name / ".prodml")
    add_version(workspace, 1)
    workspace.close()
    assert (workspace.home / "ledger.db").is_file()
    assert make_url(workspace.ledger_url).database == str(workspace.home / "ledger.db")
    assert make_url(workspace.tracking_uri).database == str(workspace.home / "mlflow.db")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_environment_chooses_the_stores(tmp_path: Path) -> None:
    chosen = {"MLFLOW_TRACKING_URI": "http://mlflow.example", "PRODML_DATABASE_URL": "sqlite://"}
    workspace = Workspace(tmp_path / "h", actor="ann", clock=SystemClock(), environment=chosen)
    assert (workspace.tracking_uri, workspace.ledger_url) == ("http://mlflow.example", "sqlite://")
    assert workspace.has_registry() and workspace.has_ledger()
    assert not (tmp_path / "h").exists()


def test_an_empty_variable_is_as_good_as_none(tmp_path: Path) -> None:
    empty = {"MLFLOW_TRACKING_URI": "", "PRODML_DATABASE_URL": "", "PRODML_LAKE": ""}
    workspace = Workspace(tmp_path / "h", actor="ann", clock=SystemClock(), environment=empty)
    assert not workspace.has_registry() and not workspace.has_ledger()
    assert make_url(workspace.tracking_uri).database == str(tmp_path / "h" / "mlflow.db")


def test_reading_an_absent_home_makes_nothing(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path / "h")
    assert (workspace.versions("m"), workspace.route("m").live, workspace.ledger_revision()) == ((), None, 0)
    assert workspace.check_home() == tmp_path
    with pytest.raises(NotFound, match="m is not deployed, and no model is registered in "):
        workspace.live("m")
    assert list(tmp_path.iterdir()) == []


def test_a_home_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for use in ("check_home", "make_home"):
        with pytest.raises(Unavailable, match=r"cannot be written.*; set PRODML_HOME to a folder that can"):
            getattr(workspace_at(tmp_path / "file" / "h"), use)()


def test_a_home_keeps_itself_out_of_version_control(tmp_path: Path) -> None:
    workspace_at(tmp_path / "h").make_home()
    assert (tmp_path / "h" / ".gitignore").read_text() == "*\n"
