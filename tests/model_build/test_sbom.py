"""The bill of materials: valid CycloneDX, with everything that is in the image and what it was made of."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from model_build.hashing import source_files
from model_build.oci.reference import Reference
from model_build.places import ROOT
from model_build.supply.sbom import bill, locked_hashes
from tests.model_build.conftest import replaced
from tests.signing import BASE_DIGEST, WEIGHTS, WHEEL, some_contents

IMAGE = Reference("127.0.0.1:1", "modelstack/digits")
DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture
def body(recipe: Path, tmp_path: Path) -> bytes:
    return bill(some_contents(recipe, tmp_path / "made"), IMAGE, DIGEST)


@pytest.fixture
def told(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(body)
    return found


def of_kind(told: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [one for one in told["components"] if one["type"] == kind]


def test_it_is_valid_by_the_schema_of_cyclonedx_1_6(body: bytes) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(body.decode()) is None


def test_it_is_about_the_image_by_digest(told: dict[str, Any]) -> None:
    image = told["metadata"]["component"]
    assert (image["name"], image["version"]) == (f"{IMAGE.host}/{IMAGE.repository}", DIGEST)
    assert image["purl"].startswith(f"pkg:oci/digits@{DIGEST}")


def test_it_names_the_base_by_digest(told: dict[str, Any]) -> None:
    (base,) = of_kind(told, "container")
    assert base["hashes"] == [{"alg": "SHA-256", "content": BASE_DIGEST.removeprefix("sha256:")}]


def test_a_wheel_has_its_licence_and_the_hashes_that_the_lock_allows(told: dict[str, Any]) -> None:
    (wheel,) = of_kind(told, "library")
    assert (wheel["purl"], wheel["licenses"]) == (f"pkg:pypi/{WHEEL}@1.2", [{"license": {"id": "MIT"}}])
    (pinned,) = wheel["externalReferences"]
    lock = (ROOT / "requirements-image.txt").read_text()
    own = re.search(rf"^{WHEEL}==.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    assert own is not None
    assert {one["content"] for one in pinned["hashes"]} == set(re.findall(r"sha256:([0-9a-f]{64})", own.group()))


def test_every_source_of_the_server_is_listed_with_its_hash(told: dict[str, Any]) -> None:
    (server,) = of_kind(told, "application")
    folder = ROOT / "model_server"
    assert {one["name"]: one["hashes"][0]["content"] for one in server["components"]} == {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in source_files(folder)
    }


def test_the_model_has_its_inputs_and_each_file_its_hash_and_size(
    told: dict[str, Any], recipe: Path, tmp_path: Path
) -> None:
    (model,) = of_kind(told, "machine-learning-model")
    contents = some_contents(recipe, tmp_path / "made")
    assert model["name"] == "digits"
    assert model["properties"] == [{"name": "modelstack:inputs", "value": contents.inputs.hash}]
    weights = next(one for one in model["components"] if one["name"] == "model.onnx")
    assert weights["hashes"][0]["content"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert weights["properties"] == [{"name": "modelstack:bytes", "value": str(len(WEIGHTS))}]


def test_data_of_the_build_environment_has_the_pinned_version(told: dict[str, Any]) -> None:
    (data,) = of_kind(told, "data")
    assert re.fullmatch(r"pkg:pypi/scikit-learn@\d[\d.]+", data["purl"])


def test_data_packages_have_their_hashes(recipe: Path, tmp_path: Path) -> None:
    npm = '{client: npm, package: "@scope/mnist", version: 1.1.0, sha512: "' + "A" * 86 + '=="}'
    pypi = f"{{client: pypi, package: weights, version: 2.0.1, sha256: {'c' * 64}}}"
    replaced(recipe, "{client: installed, package: scikit-learn}", f"{npm}\n  - {pypi}")
    told = json.loads(bill(some_contents(recipe, tmp_path / "made"), IMAGE, DIGEST))
    found = {one["purl"]: one["hashes"] for one in of_kind(told, "data")}
    assert found == {
        "pkg:npm/%40scope/mnist@1.1.0": [{"alg": "SHA-512", "content": "0" * 128}],
        "pkg:pypi/weights@2.0.1": [{"alg": "SHA-256", "content": "c" * 64}],
    }


def test_the_image_depends_on_every_component(told: dict[str, Any]) -> None:
    root = told["metadata"]["component"]["bom-ref"]
    needed = next(one["dependsOn"] for one in told["dependencies"] if one["ref"] == root)
    assert sorted(needed) == sorted(one["bom-ref"] for one in told["components"])


def test_no_path_of_this_machine_is_in_it(body: bytes, tmp_path: Path) -> None:
    assert str(tmp_path).encode() not in body
    assert str(ROOT).encode() not in body


def test_hashes_of_a_lock_belong_to_the_package_above_them() -> None:
    one, two = "1" * 64, "2" * 64
    lock = f"A_b.c==1 \\\n    --hash=sha256:{one} \\\n    --hash=sha256:{two}\n    # via x\n"
    lock += f"d==2 ; sys_platform == 'linux' \\\n    --hash=sha256:{two}\n"
    assert locked_hashes(lock) == {"a-b-c": (one, two), "d": (two,)}


def test_an_image_of_another_server_has_neither_wheels_nor_server_of_ours(recipe: Path, tmp_path: Path) -> None:
    whole = some_contents(recipe, tmp_path)
    told = json.loads(bill(replace(whole, wheels={}), IMAGE, DIGEST))
    types = {one["name"]: one["type"] for one in told["components"]}
    assert "model_server" not in types
    assert not [name for name, kind in types.items() if kind == "library"]
    assert [kind for kind in types.values() if kind == "machine-learning-model"]
