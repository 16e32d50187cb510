"""Whole builds in the build environment, with short training, pushed to a real registry."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from model_build.environment import build_interpreter
from model_build.oci.image import Image, ImageConfig
from model_build.oci.layer import entries_layer
from model_build.oci.push import push
from model_build.oci.registry import Registry
from model_build.oci.tar import Entry
from model_build.places import ROOT
from model_build.publish import read_report

pytestmark = pytest.mark.build
ROOMS = ("model_build", "model_server", "models")


@dataclass(frozen=True)
class Checkout:
    """A copy of what a build reads, with a cache of its own."""

    root: Path
    cache: Path
    python: Path

    @property
    def recipe(self) -> Path:
        return self.root / "models" / "digits" / "recipe.yaml"

    def change(self, pattern: str, new: str) -> None:
        text, count = re.subn(pattern, new, self.recipe.read_text())
        assert count == 1, pattern
        self.recipe.write_text(text)

    def build(self, host: str, base: str, repository: str) -> tuple[int, list[dict[str, Any]]]:
        """Return the exit code and the events."""
        arguments = ["build", "--json", "--recipe", str(self.recipe), "--push", f"{host}/{repository}", "--base", base]
        variables = dict(os.environ) | {"MODELSTACK_CACHE": str(self.cache), "PYTHONPATH": str(self.root)}
        done = subprocess.run(
            [self.python, "-m", "model_build", *arguments],
            env=variables,
            cwd=self.cache.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert events, done.stderr
        return done.returncode, events


@pytest.fixture(scope="module")
def python() -> Path:
    return build_interpreter(print)


@pytest.fixture(scope="module")
def base(host: str) -> str:
    """A base image without anything in it: these tests start no container."""
    image = Image("linux/amd64", (entries_layer([Entry("etc/name", b"base")]),), ImageConfig(env={"LANG": "C.UTF-8"}))
    return f"{host}/base@{push(image, Registry(host), 'base', ['v1'])}"


def copied(source: Path, folder: Path, python: Path) -> Checkout:
    """Copy what a build reads from the checkout `source`."""
    for room in ROOMS:
        shutil.copytree(source / room, folder / "checkout" / room, ignore=shutil.ignore_patterns("__pycache__"))
    for path in source.glob("requirements*.txt"):
        shutil.copy(path, folder / "checkout")
    return Checkout(folder / "checkout", folder / "cache", python)


def checkout(folder: Path, python: Path) -> Checkout:
    """Copy this checkout to `folder`, with training cut to a few epochs."""
    made = copied(ROOT, folder, python)
    made.change(r"epochs: \d+", "epochs: 4")
    made.change(r"min_accuracy: [\d.]+", "min_accuracy: 0.5")
    made.change(r"max_drop: [\d.]+", "max_drop: 0.2")
    return made


@pytest.fixture(scope="module")
def built(
    host: str, base: str, python: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Checkout, dict[str, Any]]:
    """One build that passed, and its result."""
    made = checkout(tmp_path_factory.mktemp("first"), python)
    code, events = made.build(host, base, "digits")
    assert code == 0, events[-1]
    return made, events[-1]


def states(result: dict[str, Any]) -> dict[str, str]:
    return {row["name"]: row["state"] for row in result["steps"]}


def test_a_build_pushes_an_image_that_its_inputs_tag_names(
    built: tuple[Checkout, dict[str, Any]], host: str, registry: Registry
) -> None:
    result = built[1]
    found = registry.head("digits", f"inputs-{result['inputs']}")
    assert found is not None
    assert result["image"] == f"{host}/digits@{found.digest}"


def test_the_image_has_layers_config_and_report_as_the_contract_says(
    built: tuple[Checkout, dict[str, Any]], registry: Registry
) -> None:
    result = built[1]
    digest = result["image"].partition("@")[2]
    manifest = registry.get("digits", digest)
    assert manifest is not None
    config = json.loads(registry.blob("digits", manifest.parsed["config"]["digest"]))
    assert config["config"]["User"] == "65532:65532"
    assert config["config"]["Entrypoint"] == ["/usr/bin/python3.11", "-m", "model_server"]
    assert "PYTHONPATH=/opt/modelstack/deps:/opt/modelstack/server" in config["config"]["Env"]
    weights = registry.blob("digits", manifest.parsed["layers"][-1]["digest"])
    for name in ("model.onnx", "model.json", "golden.npz", "baseline.json"):
        assert f"models/digits/{name}\0".encode() in weights
    report = read_report(registry, "digits", digest)
    assert report is not None
    assert report["metrics"] == result["metrics"]


def test_a_second_build_runs_no_step_again_and_gives_the_same_image(
    built: tuple[Checkout, dict[str, Any]], host: str, base: str
) -> None:
    made, first = built
    code, events = made.build(host, base, "digits")
    assert code == 0
    assert events[-1]["image"] == first["image"]
    assert {name for name, state in states(events[-1]).items() if state != "cached"} == {"bake", "push"}


def test_the_same_inputs_in_another_folder_and_cache_give_the_same_digest(
    built: tuple[Checkout, dict[str, Any]], host: str, base: str, python: Path, tmp_path: Path
) -> None:
    other = copied(built[0].root, tmp_path / "elsewhere", python)
    code, events = other.build(host, base, "digits-again")
    assert code == 0, events[-1]
    assert set(states(events[-1]).values()) == {"done"}
    assert events[-1]["inputs"] == built[1]["inputs"]
    assert events[-1]["image"].partition("@")[2] == built[1]["image"].partition("@")[2]


def test_a_recipe_whose_gate_fails_pushes_nothing_and_a_run_after_the_fix_succeeds(
    built: tuple[Checkout, dict[str, Any]], host: str, base: str, registry: Registry
) -> None:
    made = built[0]
    made.change(r"min_accuracy: 0\.5", "min_accuracy: 1.0")
    code, events = made.build(host, base, "digits-gated")
    made.change(r"min_accuracy: 1\.0", "min_accuracy: 0.5")
    assert (code, events[-1]["kind"]) == (5, "gate")
    message = events[-1]["message"]
    assert "gates.min_accuracy: accuracy is 0." in message
    page = Path(message.rpartition("; report: ")[2])
    assert page.parent == made.cache / "reports"
    told = json.loads(page.with_suffix(".json").read_bytes())
    assert told["refused"]["by"] == "gates"
    assert [row["name"] for row in told["steps"]][-2:] == ["reference", "gates"]
    assert told["metrics"]["accuracy"] < 1.0
    assert "Refused by gates" in page.read_text()
    assert registry.tags("digits-gated") == []
    assert made.build(host, base, "digits-gated")[0] == 0


def test_an_image_holds_nothing_of_the_folder_it_was_built_in(
    built: tuple[Checkout, dict[str, Any]], registry: Registry
) -> None:
    made, result = built
    manifest = registry.get("digits", result["image"].partition("@")[2])
    assert manifest is not None
    for layer in manifest.parsed["layers"]:
        for chunk in registry.stream("digits", layer["digest"]):
            assert str(made.root.parent).encode() not in chunk


def test_a_model_as_a_volume_runs_no_step_again_and_comes_with_its_runtime_image(
    built: tuple[Checkout, dict[str, Any]], host: str, base: str, registry: Registry
) -> None:
    made, first = built
    made.change(r"(?m)^runtime: .*$", "runtime: {name: onnxruntime}\npackaging: volume")
    code, events = made.build(host, base, "digits-volume")
    made.change(r"\npackaging: volume", "")
    assert code == 0, events[-1]
    result = events[-1]
    assert {name for name, state in states(result).items() if state != "cached"} == {"artifact", "bake", "push"}
    weights, runtime = (
        registry.get("digits-volume", result[key].partition("@")[2]) for key in ("image", "runtime_image")
    )
    assert weights is not None
    assert runtime is not None
    whole = registry.get("digits", first["image"].partition("@")[2])
    assert whole is not None
    # What a baked image holds below its weights is the runtime image, layer for layer.
    assert [one["digest"] for one in runtime.parsed["layers"]] == [one["digest"] for one in whole.parsed["layers"][:-1]]
    assert len(weights.parsed["layers"]) == 1
