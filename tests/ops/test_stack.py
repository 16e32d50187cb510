import os
from pathlib import Path

import pytest

from ops import stack
from ops.__main__ import main
from ops.engine import Engine


def project(folder: Path, settings: str) -> Path:
    (folder / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    (folder / "Pulumi.dev.yaml").write_text(settings)
    return folder


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
