from pathlib import Path

import pytest

from ops import stack
from ops.engine import Engine, EngineError


def project(folder: Path, settings: str) -> Path:
    (folder / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    (folder / "Pulumi.dev.yaml").write_text(settings)
    return folder


def test_a_stack_without_a_kubeconfig_runs_on_the_embedded_platform(tmp_path: Path) -> None:
    assert stack.is_embedded(project(tmp_path, "config: {modelstack:namespace: a}"), "dev")


def test_a_stack_with_a_kubeconfig_leaves_the_embedded_platform_alone(tmp_path: Path) -> None:
    settings = "config: {modelstack:cluster: {kubeconfig: ~/.kube/config}}"
    assert not stack.is_embedded(project(tmp_path, settings), "dev")


def test_a_stack_without_settings_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"Pulumi\.none\.yaml: cannot be read"):
        stack.is_embedded(project(tmp_path, ""), "none")


def test_a_removed_stack_leaves_no_file_and_no_other_stack_loses_one(tmp_path: Path) -> None:
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
    stack.forget(Engine(project(tmp_path, ""), "dev", {"PULUMI_BACKEND_URL": f"file://{backend}"}))
    left = sorted(str(path.relative_to(backend)) for path in backend.rglob("*") if path.is_file())
    assert left == sorted(of_others)
