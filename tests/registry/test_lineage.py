from __future__ import annotations

import subprocess

import numpy as np
import pytest

from prodml_magics.registry.lineage import capture, fingerprint, read_lineage, redact, write_lineage


@pytest.mark.parametrize(
    "secret",
    [
        "password = 'hunter2hunter2'",
        'os.environ["API_TOKEN"] = "hunter2hunter2"',
        "connect(user='me', password='hunter2hunter2')",
        "%env MY_SECRET=hunter2hunter2",
        "url = 'postgresql://me:hunter2hunter2@host/db'",
        '{"api_key": "hunter2hunter2"}',
        "key = 'ghp_hunter2hunter2hunter2hunter2'",
        "boto3.client('s3', 'AKIAHUNTER2HUNTER2AB')",
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2hunter2\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_secrets_leave_no_trace(secret):
    shown = redact(f"x = 1\n{secret}\ny = 2")
    assert "unter2" not in shown.lower()
    assert shown.startswith("x = 1\n")
    assert shown.endswith("\ny = 2")


def test_ordinary_code_is_kept():
    code = "model.fit(X, y)\ntokens = text.split()\nprint(f'{score:.3f}')  # key result"
    assert redact(code).replace("'[redacted]'", "").count("\n") == 2
    assert "model.fit(X, y)" in redact(code)


def test_fingerprints_tell_data_apart():
    base = np.array([1.0, 2.0, np.nan])
    assert fingerprint(base) == fingerprint(base.copy())
    others = [base[:2], base.astype(np.float32), np.array([1.0, 2.5, np.nan]), np.array(["1", "2", None], object)]
    assert len({fingerprint(values) for values in [base, *others]}) == 5


def test_the_commit_is_recorded_with_whether_files_differ(tmp_path):
    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True, capture_output=True
        )

    assert capture((), None, None, tmp_path).git is None
    git("init")
    (tmp_path / "a.txt").write_text("1")
    git("add", ".")
    git("commit", "-m", "first")
    clean = capture((), None, None, tmp_path)
    (tmp_path / "a.txt").write_text("2")
    dirty = capture((), None, None, tmp_path)
    assert (clean.git.dirty, dirty.git.dirty) == (False, True)
    assert len(clean.git.commit) == 40
    assert "numpy" in clean.packages
    assert read_lineage(write_lineage(dirty)) == dirty
