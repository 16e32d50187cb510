"""The runtime image beside an image of weights: told, held and let go with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_build.bake import RUNTIME_LABEL
from model_build.oci.image import Image, ImageConfig
from model_build.oci.layer import Layer, entries_layer
from model_build.oci.push import push as push_image
from model_build.oci.registry import Registry
from model_build.oci.tar import Entry
from provider.naming import previous_tag, runtime_tag, stack_tag
from provider.registry import Repository
from tests.provider.conftest import BASE, Provider
from tests.registry import push

Checked = dict[str, Any]


@pytest.fixture
def repository(host: str, project: Path, request: pytest.FixtureRequest) -> Repository:
    return Repository(host, f"modelstack/volumes/{request.node.name[:90]}", None, project)


@pytest.fixture
def check(
    provider: Provider, inputs: dict[str, Any], repository: Repository, project: Path
) -> Callable[[str], Checked]:
    """Return the checked inputs of the recipe served by one server, its weights a volume."""
    recipe = project / "tiny" / "recipe.yaml"
    plain = recipe.read_text()

    def checked(runtime: str) -> Checked:
        recipe.write_text(plain.replace("{name: onnxruntime}", f"{{{runtime}}}\npackaging: volume"))
        found, failures = provider.check(inputs | {"push": repository.host, "repository": repository.name})
        assert failures == {}
        return found

    return checked


def layer(content: str) -> Layer:
    return entries_layer([Entry("file", content=content.encode(), mode=0o644)])


def push_weights(repository: Repository, checked: Checked, runtime: str, *layers: Layer) -> str:
    """Push an image of weights that names the digest `runtime`, as a build of the inputs has."""
    labels = {RUNTIME_LABEL: runtime, "inputs": checked["inputsHash"]}
    image = Image("linux/amd64", layers, ImageConfig(labels=labels))
    return push_image(image, Registry(repository.host), repository.name, [f"inputs-{checked['inputsHash']}"])


def test_a_pod_is_told_of_its_server_before_any_image_exists(
    provider: Provider, check: Callable[[str], Checked]
) -> None:
    checked = check("name: triton, gpus: 1")
    _, outputs = provider.create(checked, preview=True)
    assert outputs["runtime"]["ports"] == {"http": 8000.0, "grpc": 8001.0, "metrics": 8002.0}
    assert (outputs["runtime"]["packaging"], outputs["runtime"]["gpus"]) == ("volume", 1.0)


def test_a_preview_and_up_name_the_runtime_image_that_the_weights_are_for(
    provider: Provider, check: Callable[[str], Checked], repository: Repository
) -> None:
    checked = check("name: onnxruntime")
    runtime = push(repository.host, repository.name, "runtime")
    push_weights(repository, checked, runtime)
    for _, outputs in (provider.create(checked, preview=True), provider.create(checked)):
        assert outputs["runtimeImage"] == f"{repository.host}/{repository.name}@{runtime}"


def test_the_layers_of_weights_and_of_the_runtime_image_beside_them_are_told(
    provider: Provider, check: Callable[[str], Checked], repository: Repository
) -> None:
    checked = check("name: onnxruntime")
    server, weights = layer("server"), layer("weights")
    runtime = push_image(Image("linux/amd64", (server,)), Registry(repository.host), repository.name)
    push_weights(repository, checked, runtime, weights)
    _, outputs = provider.create(checked, preview=True)
    wanted = [{"digest": one.descriptor.digest, "size": one.descriptor.size} for one in (weights, server)]
    assert outputs["layers"] == wanted


def test_the_layers_of_a_servers_own_image_are_not_told(
    provider: Provider, check: Callable[[str], Checked], repository: Repository
) -> None:
    checked = check("name: triton")
    weights = layer("weights")
    push_weights(repository, checked, BASE.partition("@")[2], weights)
    _, outputs = provider.create(checked, preview=True)
    assert [one["digest"] for one in outputs["layers"]] == [weights.descriptor.digest]


def test_a_servers_own_image_is_named_where_it_lies_and_not_held(
    provider: Provider, check: Callable[[str], Checked], repository: Repository
) -> None:
    checked = check("name: triton")
    digest = push_weights(repository, checked, BASE.partition("@")[2])
    _, outputs = provider.create(checked)
    assert outputs["runtimeImage"] == BASE
    assert outputs["digest"] == digest
    assert sorted(repository.tags()) == [f"inputs-{checked['inputsHash']}", stack_tag(provider.urn)]


def test_weights_whose_runtime_image_is_gone_are_built_anew(
    provider: Provider, check: Callable[[str], Checked], repository: Repository
) -> None:
    checked = check("name: onnxruntime")
    push_weights(repository, checked, f"sha256:{'e' * 64}")
    provider.create(checked, preview=True)
    assert provider.engine.said() == "to be built (first build)"


def test_destroy_removes_the_runtime_image_with_its_last_holder(
    provider: Provider, check: Callable[[str], Checked], repository: Repository
) -> None:
    checked = check("name: onnxruntime")
    runtime = push(repository.host, repository.name, "runtime", f"runtime-{'0' * 64}")
    push_weights(repository, checked, runtime)
    identifier, outputs = provider.create(checked)
    assert repository.digest(runtime_tag(stack_tag(provider.urn))) == runtime
    provider.delete(identifier, outputs)
    assert repository.tags() == []
    assert repository.digest(runtime) is None


def test_a_runtime_image_that_old_pods_still_run_is_held_after_a_change(
    provider: Provider, check: Callable[[str], Checked], repository: Repository
) -> None:
    checked = check("name: onnxruntime")
    first = push(repository.host, repository.name, "first runtime")
    push_weights(repository, checked, first)
    identifier, outputs = provider.create(checked)
    news = check("name: onnxruntime, device: gpu")
    second = push(repository.host, repository.name, "second runtime")
    push_weights(repository, news, second)
    provider.update(identifier, outputs, news)
    tag = runtime_tag(stack_tag(provider.urn))
    assert (repository.digest(tag), repository.digest(previous_tag(tag))) == (second, first)


def test_a_record_without_outputs_is_completed_with_the_runtime_image(
    provider: Provider, check: Callable[[str], Checked], repository: Repository
) -> None:
    checked = check("name: onnxruntime")
    push_weights(repository, checked, push(repository.host, repository.name, "runtime"))
    identifier, outputs = provider.create(checked)
    found, completed = provider.read(identifier, checked, {})
    # Whoever finds an image does not know when a stack took it.
    assert (found, completed) == (identifier, {key: one for key, one in outputs.items() if key != "versions"})


def test_every_tag_of_a_runtime_image_fits_into_a_registry() -> None:
    tag = runtime_tag(stack_tag(f"urn:pulumi:{'s' * 90}::{'p' * 90}::modelstack:index:ModelImage::{'n' * 90}"))
    assert len(previous_tag(tag, 3)) <= 128
