import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ops import policies, stack
from ops.__main__ import main
from ops.engine import Engine


def project(folder: Path, settings: str) -> Path:
    (folder / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    (folder / "Pulumi.dev.yaml").write_text(settings)
    return folder


OWN_CLUSTER = "config: {modelstack:cluster: {kubeconfig: mine}}"
LOCAL = """
import sys
with open("said", "a") as said:
    print("local", *sys.argv[1:], file=said)
"""


def with_engine(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stacks: str, fails: str = "", state: str = '{"deployment": {}}'
) -> None:
    """Give the project a `local` and an engine; both note what they are asked, and one command of the engine fails."""
    script = f"""#!/bin/sh
echo "pulumi $*" >> said
case "$1 $2" in
  "stack ls") echo '{stacks}' ;;
  "stack export") echo '{state}' ;;
  whoami*) echo '{{"url": "file://{folder}/state"}}' ;;
  "{fails} "*) exit 255 ;;
esac
"""
    (folder / "pulumi").write_text(script)
    (folder / "pulumi").chmod(0o755)
    (folder / "local").mkdir()
    (folder / "local/__main__.py").write_text(LOCAL)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.chdir(folder)


def said(folder: Path) -> list[str]:
    return (folder / "said").read_text().splitlines()


def test_destroy_starts_the_platform_before_the_engine_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_engine(project(tmp_path, ""), monkeypatch, '[{"name": "dev"}]')
    assert main(["destroy"]) == 0
    assert "stack 'dev' is removed, its history with it" in capsys.readouterr().out
    found = said(tmp_path)
    destroyed = next(index for index, line in enumerate(found) if line.startswith("pulumi destroy"))
    assert found.index("local up") < destroyed < found.index("local collect")


PROTECTED = "urn:pulumi:dev::shop::modelstack:index:ModelImage::spam"
KEPT = {"deployment": {"resources": [{"urn": PROTECTED, "type": "modelstack:index:ModelImage", "protect": True}]}}


def test_a_protected_stack_is_refused_before_anything_is_deleted_or_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_engine(project(tmp_path, ""), monkeypatch, '[{"name": "dev"}]', state=json.dumps(KEPT))
    assert main(["destroy"]) == 3
    assert not {"local up", "pulumi destroy"} & set(said(tmp_path))
    told = capsys.readouterr().err
    assert f"stack dev: 1 resources are protected, nothing was deleted:\n  {PROTECTED}\n" in told
    assert "pulumi state unprotect --stack dev" in told


def test_a_protected_stack_is_destroyed_but_for_what_is_protected_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_engine(project(tmp_path, ""), monkeypatch, '[{"name": "dev"}]', state=json.dumps(KEPT))
    assert main(["destroy", "--", "--exclude-protected"]) == 0
    assert any(line.startswith("pulumi destroy ") for line in said(tmp_path))
    # The stack stays with what is protected.
    assert "local collect" not in said(tmp_path)


def test_destroy_starts_nothing_for_a_stack_that_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_engine(project(tmp_path, ""), monkeypatch, "[]")
    assert main(["destroy"]) == 0
    assert said(tmp_path) == ["local env", "pulumi stack ls --json --non-interactive --color never"]
    assert "stack 'dev' does not exist: nothing to destroy" in capsys.readouterr().out


def test_an_up_on_a_cluster_of_ones_own_creates_the_stack_in_a_state_that_lies_in_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_engine(project(tmp_path, OWN_CLUSTER), monkeypatch, "[]")
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}/state")
    assert main(["up"]) == 0
    assert [" ".join(line.split()[:3]) for line in said(tmp_path)] == [
        "pulumi stack ls",
        "pulumi stack init",
        "pulumi up --stack",
    ]


def test_an_up_that_meets_the_lock_of_a_dead_process_names_recover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_engine(project(tmp_path, OWN_CLUSTER), monkeypatch, '[{"name": "dev"}]', fails="up")
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    lock = {"pid": process.pid, "username": "me", "hostname": socket.gethostname(), "timestamp": "2026-01-01T00:00:00Z"}
    locks = tmp_path / "state/.pulumi/locks/organization/shop/dev"
    locks.mkdir(parents=True)
    (locks / "one.json").write_text(json.dumps(lock))
    assert main(["up"]) == 255
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert f"process {process.pid} of me@" in told[0]
    assert "run `python -m ops recover --stack dev`" in told[0]


def test_an_up_that_fails_without_a_lock_says_nothing_of_recover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_engine(project(tmp_path, OWN_CLUSTER), monkeypatch, '[{"name": "dev"}]', fails="up")
    assert main(["up"]) == 255
    assert capsys.readouterr().err == ""


def test_a_stack_without_settings_is_named_with_those_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project(tmp_path, ""))
    assert main(["up", "--stack", "none"]) == 1
    assert "STACK: Pulumi.none.yaml is no file; write it, or name one of dev" in capsys.readouterr().err


def test_a_removed_stack_leaves_no_file_and_no_other_stack_loses_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = tmp_path / "state"
    of_dev = [
        ".pulumi/backups/shop/dev/dev.1.json",
        ".pulumi/history/shop/dev/dev-1.history.json",
        ".pulumi/stacks/shop/dev.json.bak",
        "config/shop/Pulumi.dev.yaml",
    ]
    of_others = [name.replace("dev", "developer") for name in of_dev] + [".pulumi/meta.yaml"]
    for name in of_dev + of_others:
        (backend / name).parent.mkdir(parents=True, exist_ok=True)
        (backend / name).touch()
    (tmp_path / "pulumi").write_text(f'#!/bin/sh\necho \'{{"url": "file://{backend}"}}\'\n')
    (tmp_path / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    stack.forget(Engine(project(tmp_path, ""), "dev", dict(os.environ)))
    left = sorted(str(path.relative_to(backend)) for path in backend.rglob("*") if path.is_file())
    assert left == sorted(of_others)


def with_policies(folder: Path) -> None:
    (folder / "policy").mkdir()
    (folder / "policy/PulumiPolicy.yaml").write_text("runtime: python\n")


@pytest.mark.parametrize("command", ["up", "preview"])
def test_the_projects_policies_judge_what_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    with_engine(project(tmp_path, OWN_CLUSTER), monkeypatch, '[{"name": "dev"}]')
    with_policies(tmp_path)
    assert main([command]) == 0
    assert said(tmp_path)[-1].startswith(f"pulumi {command} --stack dev")
    assert "--policy-pack policy" in said(tmp_path)[-1]


def test_destroy_asks_no_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_engine(project(tmp_path, OWN_CLUSTER), monkeypatch, '[{"name": "dev"}]')
    with_policies(tmp_path)
    assert main(["destroy"]) == 0
    assert "--policy-pack" not in " ".join(said(tmp_path))


def test_a_project_without_policies_is_judged_by_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_engine(project(tmp_path, OWN_CLUSTER), monkeypatch, '[{"name": "dev"}]')
    assert main(["up"]) == 0
    assert "--policy-pack" not in " ".join(said(tmp_path))


def test_policies_without_their_library_stop_up_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_engine(project(tmp_path, OWN_CLUSTER), monkeypatch, '[{"name": "dev"}]')
    with_policies(tmp_path)
    monkeypatch.setattr(policies, "find_spec", lambda _name: None)
    assert main(["up"]) == 1
    assert "has no pulumi_policy, which policies are written with; run `make venv`" in capsys.readouterr().err
    assert not (tmp_path / "said").exists()
