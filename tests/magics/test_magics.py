"""Magics in a real IPython shell: results, errors, names and the user's own things left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import InvalidInput, NotFound, ProdmlError, UsageError
from prodml_magics.wire.requests import VERBS

from .conftest import Notebook


def causes(workspace: Workspace) -> list[str]:
    return [event.cause for event in workspace.ledger.events("cancer")]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_a_magic_and_its_help_prints_and_returns_nothing(notebook: Notebook, verb: str) -> None:
    for line in (f"%{verb} --help", f"%{verb} -h", f"%prodml {verb} --help"):
        ran = notebook.run(f"found = {line}")
        assert ran.value is None and notebook.names["found"] is None
        assert ran.out.startswith(f"usage: {line.rpartition(' ')[0]}")
        assert (VERBS[verb].__doc__ or "").split()[0] in ran.out


def test_prodml_alone_lists_every_verb(notebook: Notebook) -> None:
    for line in ("%prodml", "%prodml --help", "%prodml help"):
        ran = notebook.run(line)
        assert ran.value is None
        assert all(f"%{verb}" in ran.out for verb in VERBS)


def test_a_result_shows_as_text_and_html_and_an_assigned_one_does_not(notebook: Notebook) -> None:
    shown = notebook.run("%timeline cancer")
    assert [sorted(output.data) for output in shown.displays] == [["text/html", "text/plain"]]
    assert "version 2 live, version 1 kept as previous" in shown.displays[0].data["text/plain"]
    quiet = notebook.run("found = %timeline cancer")
    assert (quiet.out, quiet.displays) == ("", [])
    assert notebook.names["found"].frame["kind"].to_list() == ["register", "deploy", "register", "deploy"]


def test_asking_for_a_magic_shows_its_flags(notebook: Notebook) -> None:
    shown = notebook.shell.object_inspect_text("%drift")
    assert "usage: %drift [-h]" in shown and "--tolerance SHARE" in shown


def test_frames_in_the_notebook_are_compared_by_their_names(notebook: Notebook) -> None:
    ran = notebook.run(
        "import numpy as np, polars as pl",
        "rng = np.random.default_rng(0)",
        "before = pl.DataFrame({'a': rng.normal(size=2000), 'b': rng.normal(size=2000)})",
        "frames = {'after': before.with_columns(b=pl.col('b') + 1)}",
        "x = %drift before \"frames['after']\" --device cpu # compares two frames",
    )
    assert ran.value is None and (ran.out, ran.displays) == ("", [])
    assert (notebook.names["x"].drifted, notebook.names["x"].verdict) == (("b",), "drift")
    assert str(notebook.run("%drift before").error) == "there is no model 'before' here; known are 'cancer'"


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        ("%prodml drif cancer", UsageError, "there is no verb drif; did you mean drift?"),
        ("%drift cancer --windw 1h", UsageError, "%drift: unknown flag --windw, did you mean --window?; see %drift --help"),
        ("%register modle --name m", UsageError, "there is no modle in this notebook; did you mean model?"),
        ("%drift cancer --last {n_row}", UsageError, "there is no n_row in this notebook; did you mean n_rows?"),
        ("%drift cancer --last 0", UsageError, "%drift: --last must be at least 1; see %drift --help"),
        ("%up --foreground", UsageError, "%up: unknown flag --foreground; see %up --help"),
        ("%timeline other", NotFound, "has no entry for other; register it with %register"),
        ("%rollback 'a b'", InvalidInput, "'a b' cannot name a model"),
    ],
)
def test_a_known_error_is_one_line_and_still_fails_the_cell(
    notebook: Notebook, line: str, kind: type[ProdmlError], said: str
) -> None:
    notebook.names |= {"model": 1, "n_rows": 2}
    ran = notebook.run(line)
    assert type(ran.error) is kind and said in str(ran.error)
    assert ran.out.strip() == f"{kind.__name__}: {ran.error}"
    assert not ran.result.success


def test_debug_adds_the_traceback(notebook: Notebook) -> None:
    plain, long = notebook.run("%timeline other"), notebook.run("%timeline other --debug")
    assert "Traceback" not in plain.out
    assert "Traceback" in long.out and "actions/timeline.py" in long.out
    assert str(plain.error) == str(long.error)


def test_quoting_comments_and_expressions_reach_the_ledger_as_they_were_meant(notebook: Notebook, workspace: Workspace) -> None:
    notebook.names |= {"name": "cancer", "ticket": {"id": 12}}
    notebook.run("""%rollback {name} --why "night shift: it's # fine, see {ticket['id']}"  # a comment with {nothing}""").value  # noqa: B018
    notebook.run("%rollback cancer --why issue#12").value  # noqa: B018
    assert causes(workspace)[-2:] == ["night shift: it's # fine, see 12", "issue#12"]


def test_undo_needs_no_number_and_takes_the_latest_back(notebook: Notebook, workspace: Workspace) -> None:
    undone = notebook.run("%undo").result.result
    assert workspace.ledger.route("cancer").live == 1
    assert "cancer@1 is live again" in str(undone)
    assert causes(workspace)[-1] == "undo of entry 4 (deploy)"


def test_who_did_it_and_by_which_door_is_kept(notebook: Notebook, workspace: Workspace) -> None:
    notebook.run("%rollback cancer").value  # noqa: B018
    actor = workspace.ledger.events("cancer")[-1].actor
    assert "@" in actor and actor.endswith("(notebook)")


def test_the_cell_in_which_something_was_decided_is_in_the_ledger_and_the_timeline(
    notebook: Notebook, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/ours/train.ipynb")
    notebook.run("1 + 1")
    notebook.run("# the new one is wrong", "%rollback cancer").value  # noqa: B018
    notebook.run("from prodml_magics import rollback", "rollback('cancer')").value  # noqa: B018
    first, second = (event.payload["cell"] for event in workspace.ledger.events("cancer")[-2:])
    number = len(notebook.names["In"]) - 2
    assert first == {"number": number, "source": "# the new one is wrong\n%rollback cancer", "notebook": "train.ipynb"}
    assert second["number"] == number + 1 and second["source"].endswith("rollback('cancer')")
    found = notebook.run("found = %timeline cancer") and notebook.names["found"]
    assert found.frame["cell"].to_list()[-2:] == [f"train.ipynb [{number}]", f"train.ipynb [{number + 1}]"]
    assert f"(notebook), cell train.ipynb [{number}]" in str(found)


def test_a_variable_named_like_the_model_is_not_taken_for_it(notebook: Notebook) -> None:
    notebook.run("from sklearn.datasets import load_breast_cancer", "cancer = load_breast_cancer()")
    drift = notebook.run("%drift cancer")
    assert str(drift.error) == "cancer has answered no rows in this window; send requests to it, or widen the window"
    notebook.run("from sklearn.linear_model import LogisticRegression", "model = LogisticRegression()")
    register = notebook.run("%register model --name cancer --train cancer.data cancer.target")
    assert str(register.error) == "LogisticRegression is not fitted yet; call fit before registering it"
    assert notebook.run("%rollback cancer").value.version == 1


def test_registrations_after_the_first_find_a_converter_that_waits(notebook: Notebook) -> None:
    notebook.run("from sklearn.linear_model import LogisticRegression", "from sklearn.datasets import load_iris")
    notebook.run("X, y = load_iris(return_X_y=True)", "fitted = LogisticRegression(max_iter=1000).fit(X, y)")

    def waiting() -> set[int]:
        found = psutil.Process().children()
        return {child.pid for child in found if "prodml_magics.registry.converters.child" in child.cmdline()}

    notebook.run("%register fitted --name iris --train X y").value  # noqa: B018
    ready = waiting()
    notebook.run("%register fitted --name iris --train X y").value  # noqa: B018
    after = waiting()
    assert len(ready) == 1
    assert after == ready, "the one that has loaded all serves the next as well"


def test_a_magic_of_the_user_keeps_its_name_and_ours_is_reached_by_prodml(
    new_notebook: Callable[[], Notebook], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRODML_HOME", str(home))
    notebook = new_notebook()
    notebook.run(
        "from IPython.core.magic import register_line_magic", "@register_line_magic", "def rollback(line): return 'mine ' + line"
    )
    notebook.run("%load_ext prodml_magics")
    assert notebook.run("%rollback cancer").value == "mine cancer"
    assert notebook.run("%prodml rollback cancer").value.version == 1
    notebook.run("%reload_ext prodml_magics")
    assert notebook.run("%rollback cancer").value == "mine cancer"


def test_the_extension_reloads_and_leaves_one_completer(notebook: Notebook) -> None:
    for _ in range(2):
        assert notebook.run("%reload_ext prodml_magics").result.success
    matchers = [each for each in notebook.shell.Completer.custom_matchers if getattr(each, "prodml", False)]
    assert len(matchers) == 1
    assert notebook.run("%status").value.models[0].live == 2


def test_looking_in_an_empty_place_leaves_no_trace(
    new_notebook: Callable[[], Notebook], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PRODML_HOME", raising=False)
    notebook = new_notebook()
    notebook.run("%load_ext prodml_magics")
    assert notebook.run("%status").value.gateway.state == "down"
    assert notebook.run("%timeline").value.entries == ()
    for line in (
        "%deploy cancer@1",
        "%shadow cancer@1",
        "%rollback cancer",
        "%undo",
        "%undo 3",
        "%undeploy cancer",
        "%drift cancer",
    ):
        assert isinstance(notebook.run(line).error, ProdmlError), line
    notebook.complete("%deploy c")
    assert list(folder.iterdir()) == []
