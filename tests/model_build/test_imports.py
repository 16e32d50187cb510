"""Who may import what: rooms stay apart, and a glance at the inputs loads nothing heavy."""

import ast
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from model_build.places import ROOT

HEAVY = {"numpy", "torch", "onnx", "onnxruntime", "sklearn", "tokenizers", "pulumi", "grpc", "urllib3", "rich"}
HEAVY |= {"cryptography", "nacl", "cyclonedx"}
SOURCES = sorted((ROOT / "model_build").rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def test_model_build_never_imports_pulumi_or_another_room() -> None:
    forbidden = {"pulumi", "provider", "components", "ops", "local", "settings"}
    assert {path.name: found for path in SOURCES if (found := forbidden & set(imported(path)))} == {}


def test_model_build_makes_tokens_as_the_server_does_and_imports_nothing_else_of_it() -> None:
    lines = {line.strip() for path in SOURCES for line in path.read_text().splitlines() if "model_server" in line}
    assert {line.split("#")[0].strip() for line in lines if "import" in line} == {
        "from model_server.tokens import Tokens"
    }


def test_torch_is_imported_under_optimize_alone() -> None:
    found = [path for path in SOURCES if "torch" in imported(path) and path.parent.name != "templates"]
    assert found
    assert {path.parent.name for path in found} == {"optimize"}


def test_torch_cannot_be_imported_from_the_programs_environment() -> None:
    assert importlib.util.find_spec("torch") is None


@pytest.mark.parametrize("module", ["model_build.inputs", "model_build.environment"])
def test_what_the_provider_imports_loads_nothing_heavy(module: str) -> None:
    assert loaded(f"import {module}") == []


def test_inspecting_a_recipe_loads_nothing_heavy() -> None:
    recipe = str(ROOT / "models" / "digits" / "recipe.yaml")
    assert loaded(f"from model_build.__main__ import main; main(['inspect', '--json', '--recipe', {recipe!r}])") == []


def test_the_command_line_waits_for_no_library_before_it_knows_its_command() -> None:
    assert loaded("import model_build.__main__", HEAVY | {"pydantic", "yaml"}) == []


def test_a_push_to_this_machine_loads_what_it_needs_alone() -> None:
    assert loaded("import model_build.oci.push", {"pydantic", "yaml", "subprocess", "tomllib", "urllib.request"}) == []


def test_who_verifies_reads_no_recipe() -> None:
    assert loaded("import model_build.supply.commands", {"yaml", "model_build.recipe", "numpy", "cyclonedx"}) == []


@pytest.mark.parametrize("package", ["model_build", "model_server"])
def test_onnxruntime_is_kept_from_telling_its_makers_of_a_start(package: str) -> None:
    code = f"import os, {package}; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def loaded(code: str, heavy: Collection[str] = frozenset(HEAVY)) -> list[str]:
    """Return the heavy modules that `code` loads in a fresh interpreter."""
    tell = f"; import sys, json; print(json.dumps(sorted({set(heavy)!r} & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", code + tell], cwd=ROOT, capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found
