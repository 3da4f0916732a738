"""``prodml`` as a person or a script uses it: exit codes, streams, JSON, and no trace of merely looking."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from homes import add_version, go_live, post, wait_for, workspace_at

from prodml_magics.actions.services import Services
from prodml_magics.actions.status import status
from prodml_magics.actions.workspace import Workspace
from prodml_magics.cli.main import main
from prodml_magics.wire.requests import VERBS, Status

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cancer@2 live, cancer@1 previous, nothing runs."""
    workspace = workspace_at(tmp_path_factory.mktemp("cli") / ".prodml")
    for version, c in ((1, 1.0), (2, 0.01)):
        add_version(workspace, version, c=c)
        go_live(workspace, version, cause=f"version {version} is better")
    workspace.close()
    return workspace.home


@pytest.fixture
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("PRODML_HOME", str(home))
    with workspace_at(home) as workspace:
        yield workspace


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PRODML_HOME", raising=False)
    return folder


def prodml(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "prodml_magics", *words]
    return subprocess.run(line, capture_output=True, text=True, check=False, env=os.environ | environment, timeout=60)


def test_help_and_version(capsys: Captured) -> None:
    for words in ([], ["--help"], ["-h"], ["help"]):
        assert main(words) == 0
        shown = capsys.readouterr()
        assert shown.out.startswith("usage: prodml VERB") and all(f"\n  {verb} " in shown.out for verb in VERBS)
        assert shown.err == ""
    for verb in VERBS:
        assert main([verb, "--help"]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith(f"usage: prodml {verb}") and "--json" in shown and not re.search(r"%[a-z]", shown)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("prodml 0.")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["deploi", "x"], 2, "prodml: there is no verb deploi; did you mean deploy?"),
        (["drift", "cancer", "--wat"], 2, "prodml drift: unknown flag --wat"),
        (["drift", "cancer", "--last", "0"], 2, "prodml drift: --last must be at least 1; see prodml drift --help"),
        (["shadow", "cancer@1", "--sample", "2"], 2, "prodml shadow: --sample must be at most 1"),
        (["up", "--port", "99999"], 2, "prodml up: --port must be at most 65535"),
        (["drift", "cancer", "--window", "nonsense"], 2, "prodml: 'nonsense' is not a duration; write 90s, 30m, 1h, 7d or 2w"),
        (["drift", "cancer", "--window", "0h"], 2, "'0h' is not a duration"),
        (["drift", "cancer", "--window", "999999w"], 2, "reaches back before the calendar begins"),
        (["drift", "cancer", "--window", "1h", "--last", "5"], 2, "--window and --last cannot be combined; choose one"),
        (["drift", "cancer", "--window", "1h", "--until", "2026-01-01"], 2, "cannot be combined with --until"),
        (["drift", "cancer", "--since", "yesterday"], 2, "--since 'yesterday' is not a time; write"),
        (["drift", "cancer", "--since", "2026-01-02", "--until", "2026-01-02"], 2, "the window is empty"),
        (["drift", "cancer", "--since", "2026-01-02T00:00+02:00", "--until", "2026-01-01T22:00"], 2, "the window is empty"),
        (["timeline", "other"], 1, "has no entry for other; register it with prodml register"),
        (["undo", "1"], 1, "entry 1 (register) changed no traffic"),
        (["undo", "99"], 1, "the ledger has no entry 99; prodml timeline lists them"),
        (["deploy", "cancer@live2"], 1, "'live2' is not a version of cancer; write cancer@2"),
        (["deploy", "a/b"], 1, "'a/b' cannot name a model"),
        (["register", "no.onnx", "--name", "m"], 1, "there is no file 'no.onnx'; check the path"),
        (["rollback", "cancer@2"], 1, "'cancer@2' names a version, and this is about the model; write cancer"),
        (
            ["shadow", "cancer", "--rows", "9"],
            2,
            "--rows is for a shadow that begins; give its version as well, such as cancer@2",
        ),
        (
            ["deploy", "cancer@1", "--bake", "none", "--guard", "error_rate"],
            2,
            "--guard says what the watch goes by, and --bake none",
        ),
        (
            ["deploy", "cancer@1", "--guard", "eror_rate"],
            2,
            "'eror_rate' is no guard; did you mean 'error_rate' or 'timeout_rate'?",
        ),
        (["deploy", "cancer@1", "--margin", "error_rate=x"], 2, "'error_rate=x' is no margin; write error_rate=20%"),
        (["deploy", "cancer@1", "--guard", ""], 2, "--guard is empty; give GUARDS, or leave it out"),
        (["token", "a b/c", "--scope", "predict"], 1, "'a b/c' cannot name a token; use 1 to 100 letters"),
        (["drift", "cance"], 1, "there is no model 'cance' here; did you mean 'cancer'?"),
        (["drift", __file__], 2, "is a file, and one frame is compared with another; give that as well"),
        (["drift", "no.parquet", "other.parquet"], 1, "there is no file no.parquet"),
    ],
)
def test_what_is_wrong_is_one_line_on_stderr_with_its_exit_code(
    here: Workspace, capsys: Captured, words: list[str], code: int, said: str
) -> None:
    before = here.ledger.last_id()
    for asked in (words, [*words, "--json"]):
        assert main(asked) == code
        shown = capsys.readouterr()
        assert shown.out == "" and said in shown.err
        assert shown.err.startswith("prodml") and shown.err.count("\n") == 1
    assert here.ledger.last_id() == before


def test_a_gate_that_says_no_is_exit_code_3(here: Workspace, capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no protobuf at all")
    assert main(["register", str(tmp_path / "broken.onnx"), "--name", "broken"]) == 3
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith("prodml: ") and shown.err.count("\n") == 1
    assert "broken" not in {event.model for event in here.ledger.events()}


def test_debug_adds_the_traceback_and_keeps_the_line(here: Workspace, capsys: Captured) -> None:
    assert main(["timeline", "other", "--debug"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback") and "actions/timeline.py" in err
    assert err.splitlines()[-1].startswith("prodml: the ledger of")


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["timeline"],
        ["timeline", "cancer"],
        ["doctor"],
        ["down"],
        ["drift", "a.csv", "b.parquet"],
    ],
)
def test_json_is_the_record_and_text_is_for_people(
    here: Workspace, capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    pl.DataFrame({"a": rng.normal(size=500), "b": ["x", "y"] * 250}).write_csv("a.csv")
    pl.DataFrame({"a": rng.normal(size=500) + 2, "b": ["x", "y"] * 250}).write_parquet("b.parquet")
    assert main([*words, "--json"]) == 0
    shown = capsys.readouterr()
    record = json.loads(shown.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    expected = {"status": "models", "timeline": "entries", "doctor": "checks", "down": "state", "drift": "drifted"}
    assert expected[words[0]] in record and shown.err == ""
    if words[0] == "drift":
        assert (record["drifted"], record["verdict"], record["model"]) == (["a"], "drift", None)
    assert main(words) == 0
    shown = capsys.readouterr()
    assert shown.err == "" and not shown.out.startswith("{") and shown.out.strip()


def test_changes_print_their_record_and_work_while_nothing_runs(here: Workspace, capsys: Captured) -> None:
    assert main(["rollback", "cancer", "--why", "practice", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["version"], record["previous"], record["serving"]) == (1, 2, False)
    assert record["note"] == "the gateway is down; this takes effect with `prodml up`"
    assert main(["undo", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["kind"], record["version"], record["previous"]) == ("undo", 2, 1)
    assert main(["timeline", "cancer", "--json", "--limit", "2"]) == 0
    entries = json.loads(capsys.readouterr().out)["entries"]
    assert [entry["cause"] for entry in entries] == ["practice", f"undo of entry {entries[0]['id']} (rollback)"]
    assert all(entry["actor"].endswith("(cli)") for entry in entries)


def test_status_of_a_home_that_is_not_there_creates_nothing(empty: Path) -> None:
    done = prodml("status", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    record = json.loads(done.stdout)
    assert (record["gateway"]["state"], record["controller"]["state"], record["models"]) == ("down", "down", [])
    assert record["home"] == str(empty / ".prodml")
    for words in (
        ["timeline"],
        ["down"],
        ["deploy", "a@1"],
        ["shadow", "a"],
        ["undo"],
        ["undo", "3"],
        ["rollback", "a"],
        ["drift", "a"],
    ):
        main(words)
    assert list(empty.iterdir()) == []


def test_a_home_that_is_a_file_is_one_line_for_every_verb_that_writes(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PRODML_HOME", str(tmp_path / "file" / ".prodml"))
    (tmp_path / "m.onnx").write_bytes(b"")
    for words in (["up"], ["register", str(tmp_path / "m.onnx"), "--name", "m"], ["up", "--foreground"]):
        assert main(words) == 1
        err = capsys.readouterr().err
        assert (
            "cannot be written" in err and err.rstrip().endswith("set PRODML_HOME to a folder that can") and err.count("\n") == 1
        )
    assert main(["status"]) == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_may_only_be_read_is_one_line(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setenv("PRODML_HOME", str(tmp_path / ".prodml"))
    assert main(["up"]) == 1
    assert "set PRODML_HOME to a folder that can" in capsys.readouterr().err
    tmp_path.chmod(0o700)


def test_a_reader_that_goes_away_early_is_no_traceback(home: Path) -> None:
    line = f"{sys.executable} -m prodml_magics timeline --json | head -c 1"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, env=os.environ | {"PRODML_HOME": str(home)}
    )
    assert (done.stdout, done.stderr) == ("{", "")


def test_foreground_supervises_until_sigterm(here: Workspace) -> None:
    line = [sys.executable, "-m", "prodml_magics", "up", "--foreground"]
    process = subprocess.Popen(line, env=os.environ | {"PRODML_HOME": str(here.home)})
    try:
        services = Services(here)
        wait_for(lambda: services.gateway() is not None and services.controller() is not None, 60)
        report = status(here, Status()).record
        runtime = services.runtime()
        assert runtime is not None and runtime.supervisor == process.pid
        code, answer = post(f"{report.models[0].url}/infer", {"inputs": []})
        assert code == 400 and "error" in answer
        assert main(["up", "--foreground"]) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
    after = status(here, Status()).record
    assert (after.gateway.state, after.controller.state) == ("down", "down")
