"""The environment and the errors of the engine that ops drives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ops import engine
from ops.engine import Engine, EngineError
from tests.waiting import until

PRINTS = """
print('export PATH="/cache/bin:$PATH"')
print("export PULUMI_BACKEND_URL='file:///data/a state'")
print("# a remark")
"""


def pulumi(folder: Path, script: str) -> dict[str, str]:
    """Return an environment whose `pulumi` runs a shell script."""
    folder.mkdir()
    (folder / "pulumi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "pulumi").chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def test_what_the_platform_exports_completes_the_callers_environment(tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local/__main__.py").write_text(PRINTS)
    found = engine.environment(tmp_path, "dev")
    assert found["PATH"] == f"/cache/bin:{os.environ['PATH']}"
    assert found["PULUMI_BACKEND_URL"] == "file:///data/a state"
    assert found["HOME"] == os.environ["HOME"]


def test_without_platform_and_engine_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local/__main__.py").write_text("raise SystemExit('no platform here')")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EngineError, match=r"no platform here.*python -m local up"):
        engine.environment(tmp_path, "dev")


def test_a_stack_on_a_cluster_of_its_own_asks_no_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {modelstack:cluster: {kubeconfig: ~/.kube/config}}")
    (tmp_path / "local").mkdir()
    (tmp_path / "local/__main__.py").write_text("raise SystemExit('no platform here')")
    monkeypatch.setenv("PATH", pulumi(tmp_path / "bin", "true")["PATH"])
    found = engine.environment(tmp_path, "dev")
    assert found.items() >= os.environ.items()
    assert "PULUMI_BACKEND_URL" not in found.keys() - os.environ.keys()


def test_a_platform_that_fails_is_told_even_with_an_engine_of_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local/__main__.py").write_text("raise SystemExit('pulumi: is too old')")
    monkeypatch.setenv("PATH", pulumi(tmp_path / "bin", "true")["PATH"])
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    with pytest.raises(EngineError, match="pulumi: is too old"):
        engine.environment(tmp_path, "dev")


def settings(folder: Path, stack: str, project: str = "name: shop") -> Path:
    (folder / "Pulumi.yaml").write_text(project)
    (folder / "Pulumi.dev.yaml").write_text(stack)
    return folder


def test_a_stack_without_a_kubeconfig_runs_on_the_embedded_platform(tmp_path: Path) -> None:
    assert engine.is_embedded(settings(tmp_path, "config: {modelstack:namespace: a}"), "dev")


@pytest.mark.parametrize(
    ("stack", "project"),
    [
        ("config: {modelstack:cluster: {kubeconfig: ~/.kube/config}}", "name: shop"),
        ("", "config: {modelstack:cluster: {type: object, default: {kubeconfig: /k}}}"),
        ("environment: [shop/prod]", "name: shop"),
    ],
    ids=["by the stack", "by the project", "perhaps by an environment of the service"],
)
def test_a_stack_with_a_kubeconfig_leaves_the_embedded_platform_alone(tmp_path: Path, stack: str, project: str) -> None:
    assert not engine.is_embedded(settings(tmp_path, stack, project), "dev")


def test_a_command_that_fails_is_told_with_its_last_lines(tmp_path: Path) -> None:
    own = pulumi(tmp_path / "bin", "echo 'error: no stack' >&2; exit 255")
    with pytest.raises(
        EngineError, match=r"`pulumi stack export --stack dev` failed with exit code 255:\nerror: no st"
    ):
        Engine(tmp_path, "dev", own).export()


def test_a_missing_engine_is_told_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EngineError, match="is not on PATH"):
        Engine(tmp_path, "dev", {"PATH": "/nowhere"}).export()


def test_a_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"Pulumi\.yaml"):
        _ = Engine(tmp_path, "dev", {}).project_name


def test_the_interpreter_of_ops_runs_the_platform(tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local/__main__.py").write_text("import sys; print(f'export WHO={sys.executable}')")
    assert engine.environment(tmp_path, "dev")["WHO"] == sys.executable


def test_settings_are_told_without_what_is_secret_in_them(tmp_path: Path) -> None:
    text = """
config:
  modelstack:models: {digits: {recipe: r.yaml}}
  modelstack:notifications: {slack: {secure: v1:abc}}
  modelstack:gateway: {enabled: true, keys: {alice: {sha256: {secure: v1:def}}}}
  modelstack:base: {secure: v1:ghi}
"""
    (tmp_path / "Pulumi.dev.yaml").write_text(text)
    assert engine.own_settings(tmp_path, "dev") == {
        "modelstack:models": '{"digits": {"recipe": "r.yaml"}}',
        "modelstack:gateway": '{"enabled": true}',
    }


@pytest.mark.parametrize(
    "setting",
    [
        "modelstack:cluster: {kubeconfig: there}",
        'modelstack:cluster: \'{"kubeconfig": "there"}\'',
        "modelstack:aws: {region: eu-central-1}",
        'modelstack:aws: \'{"region": "eu-central-1"}\'',
    ],
)
def test_a_stack_is_elsewhere_however_its_place_was_written(tmp_path: Path, setting: str) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text(f"config: {{{setting}}}")
    assert not engine.is_embedded(tmp_path, "dev")


@pytest.mark.parametrize("name", ["review-7", "acme/review-7"])
def test_a_review_stack_runs_where_its_source_does(tmp_path: Path, name: str) -> None:
    assert engine.is_embedded(tmp_path, name)
    (tmp_path / "Pulumi.test.yaml").write_text("config: {modelstack:cluster: {kubeconfig: there}}")
    assert not engine.is_embedded(tmp_path, name)
    assert engine.is_embedded(tmp_path, "other")


INTERRUPTED = """
import sys
from pathlib import Path
from ops.engine import Engine, call

script = "trap 'sleep 1; echo let go > let-go; exit 7' INT; echo ready > ready; while :; do sleep 0.1; done"
try:
    call(["sh", "-c", script], Engine(Path.cwd(), "dev", {"PATH": "/usr/bin:/bin"}), {})
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_an_engine_that_is_interrupted_is_waited_for_until_it_lets_go(tmp_path: Path) -> None:
    own = {**os.environ, "PYTHONPATH": str(Path(engine.__file__).parents[1])}
    command = [sys.executable, "-c", INTERRUPTED]
    # A terminal sends Ctrl-C to all of the group.
    with subprocess.Popen(command, cwd=tmp_path, env=own, start_new_session=True) as process:
        until((tmp_path / "ready").exists, "the engine runs")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
    assert (tmp_path / "let-go").read_text() == "let go\n"
