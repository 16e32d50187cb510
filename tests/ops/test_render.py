"""Folders of rendered objects: written, kept in step, compared; of the real engine's state and preview."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops import manifests, render
from ops.__main__ import main
from ops.manifests import KUSTOMIZATION, RenderError
from tests.ops.test_manifests import thing
from tests.provider.stacks import Project, Stack

PROGRAM = """
from provider.resources import Password

Password("key")
"""


def rendered(*names: str) -> manifests.Rendered:
    return manifests.render([thing("ConfigMap", name, data={"a": "b"}) for name in names], secrets=False)


def test_an_object_that_is_no_more_loses_its_file_and_a_file_of_others_stays(tmp_path: Path) -> None:
    render.write(rendered("one", "two"), tmp_path)
    (tmp_path / "README.md").write_text("ours")
    render.write(rendered("one"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "configmap-one.yaml", KUSTOMIZATION]


def test_every_way_in_which_a_folder_differs_is_told(tmp_path: Path) -> None:
    render.write(rendered("one", "two", "three"), tmp_path)
    assert render.differences(rendered("one", "two", "three"), tmp_path) == []
    (tmp_path / "configmap-one.yaml").write_text("edited")
    (tmp_path / "configmap-two.yaml").unlink()
    assert render.differences(rendered("one", "two"), tmp_path) == [
        "configmap-one.yaml: differs",
        "configmap-three.yaml: would not be there",
        "configmap-two.yaml: is missing",
        f"{KUSTOMIZATION}: differs",
    ]


def test_a_folder_with_a_kustomization_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / KUSTOMIZATION).write_text("resources: [mine.yaml]\n")
    with pytest.raises(RenderError, match="was not rendered; name a folder of its own"):
        render.write(rendered("one"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [KUSTOMIZATION]


def test_a_secret_in_clear_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    render.write(manifests.render([thing("Secret", data={"key": "eA=="})], secrets=True), tmp_path)
    assert (tmp_path / "secret-one.yaml").stat().st_mode & 0o777 == 0o600


@pytest.mark.build
def test_a_stack_without_a_state_is_previewed_and_tells_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project.make(tmp_path / "project", PROGRAM)
    stack: Stack = project.stack("new")
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)
    (stack.folder / "Pulumi.new.yaml").write_text("config: {modelstack:cluster: {kubeconfig: none}}")
    monkeypatch.chdir(stack.folder)
    assert main(["render", "new"]) == 0
    assert "rendered from a preview, what `up` would apply; `up` alone does 1 Password" in capsys.readouterr().err
    assert main(["render", "new", "--secrets"]) == 1
    assert "--secrets: a preview tells none" in capsys.readouterr().err
    assert main(["render", "new", "--from", "state"]) == 1
    assert "stack 'new' has no state" in capsys.readouterr().err
