"""`python -m model_build verify` and `sign`: what they print, and the exit code of a refusal."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from model_build.inputs import compute
from model_build.oci.image import Image, ImageConfig
from model_build.oci.layer import entries_layer
from model_build.oci.push import push
from model_build.oci.reference import Reference
from model_build.oci.registry import Registry
from model_build.oci.tar import Entry
from model_build.places import ROOT
from model_build.supply.keys import make_pair
from model_build.supply.sign import sign
from model_build.supply.subject import Subject
from tests.registry import flip, free_port, running_registry
from tests.signing import BASE_DIGEST, INPUTS, OTHER_INPUTS, a_key, an_image


def command(*arguments: str | Path) -> tuple[int, str]:
    """Return the exit code and what was printed."""
    line = [sys.executable, "-m", "model_build", *map(str, arguments)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.fixture
def image(registry: Registry, repository: str, tmp_path: Path) -> Subject:
    """An image that `release` signed for INPUTS."""
    found = an_image(registry, repository)
    sign(found, a_key(tmp_path, "release"), INPUTS)
    return found


@pytest.fixture
def public(tmp_path: Path) -> Path:
    return tmp_path / "release.pub"


def test_a_signed_image_is_told_by_digest_key_and_inputs(image: Subject, public: Path) -> None:
    code, said = command("verify", str(image), "--key", public, "--inputs", INPUTS, "--json")
    told = json.loads(said)
    assert code == 0
    assert (told["image"], told["inputs"], told["provenance"]) == (str(image), INPUTS, None)
    assert told["key"].startswith("SHA256:")


def test_people_get_a_line_each(image: Subject, public: Path) -> None:
    code, said = command("verify", str(image), "--key", public)
    assert code == 0
    assert said.splitlines()[0] == f"image    {image}"
    assert f"inputs   {INPUTS}" in said


def test_every_byte_of_an_image_is_read_back_where_that_is_asked(image: Subject, public: Path) -> None:
    code, said = command("verify", str(image), "--key", public, "--blobs", "--json")
    assert code == 0
    assert json.loads(said)["bytes_read"] > 100


def test_a_flipped_byte_in_the_registrys_storage_is_found(tmp_path: Path) -> None:
    with running_registry(tmp_path / "registry") as host:
        image = Image("linux/amd64", (entries_layer([Entry("weights", b"weights" * 100)]),), ImageConfig(user="1:1"))
        registry = Registry(host)
        push(image, registry, "a", ["v1"])
        sign(Subject.of(registry, Reference(host, "a", digest=image.digest)), a_key(tmp_path, "release"), INPUTS)
        flip(tmp_path / "registry", image.layers[0].digest)
        code, said = command("verify", f"{host}/a:v1", "--key", tmp_path / "release.pub", "--blobs", "--json")
        event = json.loads(said)
        assert (code, event["kind"]) == (6, "registry")
        assert f"blobs/{image.layers[0].digest} gave bytes of sha256:" in event["message"]
        assert command("verify", f"{host}/a:v1", "--key", tmp_path / "release.pub")[0] == 0


@pytest.mark.parametrize("asked", [["--inputs", OTHER_INPUTS], []])
def test_a_refusal_ends_with_8(image: Subject, public: Path, tmp_path: Path, asked: list[str]) -> None:
    other = make_pair(tmp_path / "other", "").public
    code, said = command("verify", str(image), "--key", public if asked else other, *asked, "--json")
    event = json.loads(said)
    assert (code, event["event"], event["kind"]) == (8, "error", "signature")


def test_one_of_two_keys_is_enough(image: Subject, public: Path, tmp_path: Path) -> None:
    other = make_pair(tmp_path / "other", "").public
    assert command("verify", str(image), "--key", other, "--key", public)[0] == 0


def test_the_inputs_of_a_recipe_are_computed(image: Subject, public: Path, tmp_path: Path, recipe: Path) -> None:
    base = f"127.0.0.1:1/base@{BASE_DIGEST}"
    asked = ("verify", str(image), "--key", public, "--recipe", recipe, "--base", base)
    assert command(*asked)[0] == 8
    sign(image, a_key(tmp_path, "second"), compute(recipe, base).hash)
    assert command(*asked, "--key", tmp_path / "second.pub")[0] == 0


@pytest.mark.parametrize(
    "arguments", [["--inputs", "12"], ["--inputs", INPUTS, "--recipe", "recipe.yaml"], ["--base", "x"]]
)
def test_a_wrong_use_ends_with_2(arguments: list[str], public: Path) -> None:
    assert command("verify", "127.0.0.1:1/a:b", "--key", public, *arguments)[0] == 2


def test_without_a_key_it_ends_with_2() -> None:
    assert command("verify", "127.0.0.1:1/a:b")[0] == 2


def test_a_registry_that_is_down_ends_with_6(image: Subject, public: Path) -> None:
    assert command("verify", f"127.0.0.1:{free_port()}/a@{image.digest}", "--key", public)[0] == 6


def test_a_key_that_is_not_there_ends_with_8(image: Subject, tmp_path: Path) -> None:
    code, said = command("verify", str(image), "--key", tmp_path / "none.pub", "--json")
    assert (code, json.loads(said)["kind"]) == (8, "signature")


def test_the_key_that_takes_over_signs_what_the_old_one_did(image: Subject, public: Path, tmp_path: Path) -> None:
    new = make_pair(tmp_path / "new", "")
    code, said = command("sign", str(image), "--key", new.private, "--signed-by", public, "--json")
    assert (code, json.loads(said)["key"]) == (0, new.fingerprint)
    assert command("verify", str(image), "--key", new.public, "--inputs", INPUTS)[0] == 0


def test_a_build_with_a_key_and_nowhere_to_push_ends_with_8(recipe: Path, public: Path, tmp_path: Path) -> None:
    code, said = command("build", "--json", "--recipe", recipe, "--key", tmp_path / "release.key")
    assert (code, json.loads(said.splitlines()[-1])["kind"]) == (8, "signature")


def test_a_build_whose_key_does_not_open_ends_with_8_before_anything_is_built(recipe: Path, tmp_path: Path) -> None:
    host = f"127.0.0.1:{free_port()}"
    wanted = ("--push", f"{host}/digits", "--base", f"{host}/base@{BASE_DIGEST}", "--key", tmp_path / "none.key")
    code, said = command("build", "--json", "--recipe", recipe, *wanted)
    assert (code, len(said.splitlines()), json.loads(said)["kind"]) == (8, 1, "signature")
