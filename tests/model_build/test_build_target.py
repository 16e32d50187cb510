"""Where a build's image goes is checked before anything is made."""

import io
import json
from pathlib import Path

import pytest

from model_build.build import Order, _require_unchanged, build
from model_build.errors import RecipeError, RegistryError
from model_build.events import JsonLines
from model_build.inputs import compute
from model_build.oci.image import Image, ImageConfig
from model_build.oci.layer import entries_layer
from model_build.oci.push import push
from model_build.oci.registry import Registry
from model_build.oci.tar import Entry
from tests.model_build.conftest import replaced
from tests.registry import free_port


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELSTACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def steps_begun(order: Order, error: type[Exception], match: str) -> list[str]:
    """Return the steps that began before the build stopped with `error`."""
    told = io.StringIO()
    with pytest.raises(error, match=match):
        build(order, JsonLines(told))
    return [json.loads(line)["step"] for line in told.getvalue().splitlines()]


@pytest.fixture
def base(registry: Registry, repository: str) -> str:
    """A base image of one file, by digest."""
    image = Image("linux/amd64", (entries_layer([Entry("etc/name", b"base")]),), ImageConfig())
    return f"{registry.host}/{repository}@{push(image, registry, repository)}"


def test_a_push_without_a_base_is_refused_before_any_step(recipe: Path, host: str) -> None:
    assert steps_begun(Order(recipe, f"{host}/a", None), RecipeError, "--base: is missing beside --push") == []


def test_a_push_that_names_a_tag_is_refused_before_any_step(recipe: Path, host: str, base: str) -> None:
    assert steps_begun(Order(recipe, f"{host}/a:v1", base), RegistryError, "--push: .* names a tag") == []


def test_a_registry_that_is_down_stops_the_build_before_any_step(recipe: Path, base: str) -> None:
    order = Order(recipe, f"127.0.0.1:{free_port()}/a", base)
    assert steps_begun(order, RegistryError, "does not answer .*; start it") == []


def test_a_base_that_is_not_in_its_registry_stops_the_build_before_any_step(recipe: Path, host: str) -> None:
    order = Order(recipe, f"{host}/a", f"{host}/base@sha256:{'a' * 64}")
    assert steps_begun(order, RegistryError, "is not there; push it") == []


def test_inputs_edited_while_the_image_was_made_are_refused_before_the_push(recipe: Path) -> None:
    order = Order(recipe, None, None)
    inputs = compute(recipe, None)
    replaced(recipe, "epochs: 30", "epochs: 31")
    with pytest.raises(RecipeError, match="epochs: 30 → 31 while the build ran; run it again"):
        _require_unchanged(order, inputs)
