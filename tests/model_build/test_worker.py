import json
from pathlib import Path
from typing import Any

import pytest

from model_build.errors import BuildError, DataError
from model_build.worker import Worker, scrubbed

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "s",
    "PULUMI_CONFIG_PASSPHRASE": "s",
    "KUBECONFIG": "/k",
    "DOCKER_CONFIG": "/d",
    "GITHUB_TOKEN": "s",
    "HOME": "/root",
}


def request(folder: Path) -> dict[str, Any]:
    return {
        "module": "model_build.load",
        "inputs": {},
        "params": {"entry": "data.py:load", "seed": 1, "folders": {}},
        "out": str(folder),
        "model_folder": str(folder),
    }


def run(folder: Path, code: str) -> dict[str, Any]:
    (folder / "data.py").write_text(code)
    with Worker(folder / "home", folder / "log") as worker:
        return worker.run(request(folder), lambda *_: None)


def test_model_code_sees_no_secret_of_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    said = tmp_path / "seen.json"
    code = (
        f"import json, os, pathlib\ndef load(_):\n pathlib.Path({str(said)!r}).write_text(json.dumps(dict(os.environ)))"
    )
    with pytest.raises(DataError, match="returned NoneType"):
        run(tmp_path, code)
    seen = json.loads(said.read_text())
    assert seen["HOME"] == str(tmp_path / "home")
    assert not (set(SECRETS) - {"HOME"}) & set(seen)


def test_the_workers_environment_is_an_allow_list() -> None:
    kept = scrubbed({"PATH": "/bin", "ANYTHING": "x", **SECRETS}, Path("/home-of-the-worker"))
    assert kept["PATH"] == "/bin"
    assert "ANYTHING" not in kept


def test_an_error_of_model_code_is_told_in_one_line_with_its_entry_point(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'data.py:load' raised KeyError: .*; correct the code"):
        run(tmp_path, "def load(_):\n raise KeyError('first\\nsecond')")


def test_model_code_that_kills_its_process_is_told_with_the_signal(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="the worker ended by signal SIGKILL"):
        run(tmp_path, "import os, signal\ndef load(_):\n os.kill(os.getpid(), signal.SIGKILL)")


def test_what_model_code_prints_does_not_disturb_the_answers(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="returned int"):
        run(tmp_path, "import os\ndef load(_):\n print('{}'); os.write(1, b'x'); os.write(2, b'y'); return 1")
