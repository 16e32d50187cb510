"""Baked and volume, and images of two platforms, pushed to a real registry."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from model_build import inputs as build_inputs
from model_build.bake import RUNTIME_LABEL, Parts, weights_contents
from model_build.cache import StepStore
from model_build.errors import RecipeError
from model_build.events import Lines, Reporter
from model_build.inputs import Inputs
from model_build.oci.image import Image, ImageConfig
from model_build.oci.labels import read_labels
from model_build.oci.layer import Layer, entries_layer
from model_build.oci.push import push
from model_build.oci.registry import Registry
from model_build.oci.tar import Entry
from model_build.packaging import Place, drafts, runtime_tag
from model_build.publish import Destination, publish
from tests.model_build.conftest import replaced
from tests.model_build.served import CASES, Case, artifact

AMD, ARM = "linux/amd64", "linux/arm64"
NAMED = {case.name: case for case in CASES}
# e_machine of an ELF header, as /usr/include/elf.h names it.
MACHINES = {AMD: 62, ARM: 183}
SHARED_OBJECTS = ("onnxruntime/capi/onnxruntime_pybind11_state", "numpy/_core/_multiarray_umath", "uvloop/loop")
OWN_VOLUME = Case("onnxruntime", "{name: onnxruntime}", packaging="volume")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> StepStore:
    """A cache in which the wheels of both platforms are laid out once."""
    return StepStore(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def base(host: str, repository: str) -> str:
    """An empty base of two platforms, by digest."""
    made = [Image(one, (entries_layer([Entry("etc/name", one.encode())]),), ImageConfig()) for one in (AMD, ARM)]
    # Its own layers are all that is asked of it.
    to = Destination.of(f"{host}/{repository}/base", f"{host}/none:1")
    return to.image(publish([one.draft for one in made], to, "v1", {}, untold)[0])


def untold(_done: int, _whole: int) -> None:
    return


@pytest.fixture
def inputs(recipe: Path, base: str) -> Inputs:
    replaced(recipe, "platforms: [linux/amd64]", "platforms: [linux/amd64, linux/arm64]")
    return build_inputs.compute(recipe, base)


@pytest.fixture
def place(host: str, repository: str, base: str) -> Place:
    to = Destination.of(f"{host}/{repository}", base)
    return Place(to, base, {one: to.base_for(one) for one in (AMD, ARM)})


def made(case: Case, folder: Path, place: Place, inputs: Inputs, store: StepStore) -> list[Image]:
    parts = Parts("digits", artifact(folder / "artifact", case), inputs, case.made, case.packaging)
    reporter = Reporter.start(Lines(io.StringIO()), "bake")
    return [one.read() for one in drafts(parts, place, store, reporter, require_unchanged=lambda: None)]


def machine_of(layers: tuple[Layer, ...], start: str) -> int:
    """Return the machine that a shared object in `layers` is for, as its ELF header says."""
    at = f"opt/modelstack/deps/{start}."
    entries = (entry for layer in layers for entry in layer.contents.entries)
    (found,) = [one for one in entries if one.name.startswith(at) and one.name.endswith(".so")]
    assert isinstance(found.content, Path)
    with found.content.open("rb") as stream:
        header = stream.read(20)
    assert header[:4] == b"\x7fELF"
    machine: int = struct.unpack_from("<H", header, 18)[0]
    return machine


def manifest(registry: Registry, place: Place, digest: str) -> dict[str, Any]:
    found = registry.get(place.destination.repository, digest)
    assert found is not None
    return found.parsed


def test_the_wheels_of_each_platform_are_for_its_machine_and_nothing_was_emulated(
    tmp_path: Path, place: Place, inputs: Inputs, store: StepStore
) -> None:
    for image in made(NAMED["onnxruntime"], tmp_path, place, inputs, store):
        for library in SHARED_OBJECTS:
            assert machine_of(image.layers, library) == MACHINES[image.platform]


def test_baked_images_of_two_platforms_differ_in_their_wheels_and_share_server_and_weights(
    tmp_path: Path, place: Place, inputs: Inputs, store: StepStore
) -> None:
    amd, arm = made(NAMED["onnxruntime"], tmp_path, place, inputs, store)
    shared = {layer.digest for layer in amd.layers} & {layer.digest for layer in arm.layers}
    names = {entry.name for layer in amd.layers if layer.digest in shared for entry in layer.contents.entries}
    assert {"models/digits/model.onnx", "opt/modelstack/server/model_server/__main__.py"} <= names
    assert not any(name.startswith("opt/modelstack/deps") for name in names)


def test_the_index_lists_each_platform_and_the_registry_keeps_its_weights_once(
    tmp_path: Path, place: Place, inputs: Inputs, store: StepStore, registry: Registry
) -> None:
    baked = made(NAMED["onnxruntime"], tmp_path, place, inputs, store)
    digest, _ = publish([one.draft for one in baked], place.destination, inputs.tag, {}, untold)
    index = manifest(registry, place, digest)
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert [one["platform"] for one in index["manifests"]] == [
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm64"},
    ]
    for one, platform in zip(index["manifests"], (AMD, ARM), strict=True):
        found = manifest(registry, place, one["digest"])
        config = json.loads(registry.blob(place.destination.repository, found["config"]["digest"]))
        assert f"{config['os']}/{config['architecture']}" == platform
        assert found["layers"][-1]["digest"] == baked[0].layers[-1].digest


def test_an_image_of_weights_holds_nothing_but_the_models_folder(
    tmp_path: Path, place: Place, inputs: Inputs, store: StepStore
) -> None:
    for image in made(OWN_VOLUME, tmp_path, place, inputs, store):
        names = [entry.name for layer in image.layers for entry in layer.contents.entries]
        assert names
        assert all(name.startswith("models/digits") for name in names)
        assert image.base is None


def test_images_of_weights_of_two_platforms_have_the_same_layers(
    tmp_path: Path, place: Place, inputs: Inputs, store: StepStore
) -> None:
    amd, arm = made(OWN_VOLUME, tmp_path, place, inputs, store)
    assert [layer.digest for layer in amd.layers] == [layer.digest for layer in arm.layers]
    assert amd.digest != arm.digest


def test_other_weights_leave_the_runtime_image_as_it_is(
    tmp_path: Path, place: Place, inputs: Inputs, store: StepStore
) -> None:
    one, *_ = made(OWN_VOLUME, tmp_path / "one", place, inputs, store)
    (tmp_path / "two").mkdir()
    artifact(tmp_path / "two", OWN_VOLUME)
    (tmp_path / "two" / "model.onnx").write_bytes(b"other weights")
    parts = Parts("digits", tmp_path / "two", inputs, OWN_VOLUME.made, "volume")
    reporter = Reporter.start(Lines(io.StringIO()), "bake")
    other = drafts(parts, place, store, reporter, require_unchanged=lambda: None)[0].read()
    assert one.digest != other.digest
    assert one.config.labels[RUNTIME_LABEL] == other.config.labels[RUNTIME_LABEL]


def test_a_runtime_image_is_pushed_whole_and_starts_the_server_of_any_model(
    tmp_path: Path, place: Place, inputs: Inputs, store: StepStore, registry: Registry
) -> None:
    weights, _ = made(OWN_VOLUME, tmp_path, place, inputs, store)
    digest = weights.config.labels[RUNTIME_LABEL]
    tagged = registry.head(place.destination.repository, runtime_tag(inputs))
    assert tagged is not None
    assert tagged.digest == digest
    for one in manifest(registry, place, digest)["manifests"]:
        found = manifest(registry, place, one["digest"])
        config = json.loads(registry.blob(place.destination.repository, found["config"]["digest"]))
        assert config["config"]["Entrypoint"] == ["/usr/bin/python3.11", "-m", "model_server"]
        assert "Labels" not in config["config"]
        assert all(registry.has_blob(place.destination.repository, layer["digest"]) for layer in found["layers"])


def test_an_image_of_weights_says_in_the_registry_which_runtime_image_it_is_for(
    tmp_path: Path, place: Place, inputs: Inputs, store: StepStore, registry: Registry
) -> None:
    weights = made(OWN_VOLUME, tmp_path, place, inputs, store)
    digest, _ = publish([one.draft for one in weights], place.destination, inputs.tag, {}, untold)
    for platform in (AMD, ARM):
        labels = read_labels(registry, place.destination.repository, digest, platform)
        assert labels[RUNTIME_LABEL] == weights[0].config.labels[RUNTIME_LABEL]
    assert place.runtime_image(digest) == place.destination.image(weights[0].config.labels[RUNTIME_LABEL])


def test_a_servers_own_image_is_the_runtime_image_as_it_is_and_is_not_copied(
    tmp_path: Path, place: Place, inputs: Inputs, store: StepStore, registry: Registry
) -> None:
    weights = made(NAMED["triton-gpu"], tmp_path, place, inputs, store)
    digest, _ = publish([one.draft for one in weights], place.destination, inputs.tag, {}, untold)
    assert place.runtime_image(digest) == place.base
    assert registry.tags(place.destination.repository) == [inputs.tag]


def test_a_baked_image_of_another_server_is_that_servers_image_and_the_model(
    tmp_path: Path, place: Place, inputs: Inputs, store: StepStore
) -> None:
    case = NAMED["triton"]
    for image in made(case, tmp_path, place, inputs, store):
        parts = Parts("digits", tmp_path / "artifact", inputs, case.made)
        assert [layer.digest for layer in image.layers] == [one.read().digest for one in weights_contents(parts)]
        config = json.loads(image.config_bytes)["config"]
        assert config["Entrypoint"][:2] == ["tritonserver", "--model-repository=/models"]
        assert set(config["ExposedPorts"]) == {"8000/tcp", "8001/tcp", "8002/tcp"}
        assert config["User"] == "65532:65532"


def test_a_source_edited_meanwhile_keeps_the_runtime_image_from_being_pushed(
    tmp_path: Path, place: Place, inputs: Inputs, store: StepStore, registry: Registry
) -> None:
    def refuse() -> None:
        raise RecipeError("inputs: model_server changed while the build ran; run it again")

    parts = Parts("digits", artifact(tmp_path / "artifact", OWN_VOLUME), inputs, OWN_VOLUME.made, "volume")
    with pytest.raises(RecipeError, match="changed while the build ran"):
        drafts(parts, place, store, Reporter.start(Lines(io.StringIO()), "bake"), require_unchanged=refuse)
    assert registry.tags(place.destination.repository) == []


def test_a_base_without_the_platform_stops_a_build_before_it_begins(host: str, repository: str) -> None:
    image = Image(AMD, (entries_layer([Entry("etc/name", b"base")]),), ImageConfig())
    only = f"{host}/{repository}@{push(image, Registry(host), repository, ['v1'])}"
    to = Destination.of(f"{host}/{repository}", only)
    with pytest.raises(Exception, match="is for linux/amd64, wanted is linux/arm64"):
        to.base_for(ARM)
