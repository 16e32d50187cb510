"""What a build puts beside its image in a real registry, in which order, and which earlier image it leaves be."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from model_build.errors import RegistryError, SignatureError
from model_build.oci.image import Image
from model_build.oci.layer import entries_layer
from model_build.oci.mirrors import Source
from model_build.oci.reference import Reference
from model_build.oci.referrers import attach
from model_build.oci.registry import Registry
from model_build.oci.tar import Entry
from model_build.publish import PAGE_TYPE, REPORT_TYPE, Destination, publish, read_report
from model_build.supply.attestations import Attestations
from model_build.supply.commands import Told, signed_again
from model_build.supply.contents import SBOM_TYPE, Contents
from model_build.supply.dsse import SignedStatement
from model_build.supply.keys import PrivateKey, make_pair, private_key
from model_build.supply.provenance import PREDICATE, provenance
from model_build.supply.sign import sign
from model_build.supply.subject import Subject
from model_build.supply.verify import Verified, verify
from tests.signing import BASE_DIGEST, OTHER_INPUTS, a_key, an_image, some_contents

REPORT = b'{"metrics": {"accuracy": 0.5}}'
ATTACHED = {REPORT_TYPE: REPORT, PAGE_TYPE: b"<p>a page</p>"}


def image_of(text: str) -> Image:
    return Image("linux/amd64", (entries_layer([Entry("file", text.encode())]),))


@pytest.fixture
def to(registry: Registry, repository: str) -> Destination:
    return Destination(registry, repository, Source((registry,)), Reference(registry.host, "none"))


@pytest.fixture
def contents(recipe: Path, tmp_path: Path) -> Contents:
    return some_contents(recipe, tmp_path / "made")


@pytest.fixture
def key(tmp_path: Path) -> PrivateKey:
    return a_key(tmp_path)


def published(to: Destination, contents: Contents, key: PrivateKey | None, text: str = "one") -> tuple[Subject, bool]:
    """Publish an image that differs by `text`; returns what the tag names and whether that is this one."""
    attestations = Attestations(contents, key)
    digest, own = publish([image_of(text).draft], to, contents.inputs.tag, ATTACHED, untold, attestations=attestations)
    return Subject.of(to.registry, Reference(to.registry.host, to.repository, digest=digest)), own


def untold(_done: int, _whole: int) -> None:
    return


def verified(image: Subject, contents: Contents, key: PrivateKey) -> Verified:
    return verify(image, [key.public], contents.inputs.hash)


def statement(image: Subject) -> dict[str, Any]:
    (signed,) = image.statements()
    found: dict[str, Any] = json.loads(signed.payload)
    return found


def test_a_build_with_a_key_signs_the_image_for_its_inputs(
    to: Destination, contents: Contents, key: PrivateKey
) -> None:
    image, _ = published(to, contents, key)
    assert verified(image, contents, key).inputs == contents.inputs.hash


def test_a_build_without_a_key_attaches_a_bill_and_signs_nothing(to: Destination, contents: Contents) -> None:
    image, _ = published(to, contents, None)
    assert len(image.attached(SBOM_TYPE)) == 1
    assert (image.signatures(), image.statements()) == ((), ())


def test_the_provenance_names_what_was_built_and_of_what(to: Destination, contents: Contents, key: PrivateKey) -> None:
    image, _ = published(to, contents, key)
    told = statement(image)
    assert (told["_type"], told["predicateType"]) == ("https://in-toto.io/Statement/v1", PREDICATE)
    (subject,) = told["subject"]
    assert subject["digest"] == {"sha256": image.digest.removeprefix("sha256:")}
    built = told["predicate"]["buildDefinition"]
    assert built["externalParameters"]["recipe"] == contents.inputs.recipe
    assert built["externalParameters"]["platforms"] == ["linux/amd64"]
    base, *parts, data = built["resolvedDependencies"]
    assert base["uri"].startswith(f"pkg:oci/base@{BASE_DIGEST}")
    assert base["digest"] == {"sha256": BASE_DIGEST.removeprefix("sha256:")}
    assert {one["name"]: one["digest"]["modelstackInputs"] for one in parts} == dict(contents.inputs.parts)
    assert data["uri"].startswith("pkg:pypi/scikit-learn@")


def test_the_provenance_tells_builder_and_times(to: Destination, contents: Contents, key: PrivateKey) -> None:
    image, _ = published(to, contents, key)
    run = statement(image)["predicate"]["runDetails"]
    assert run["builder"]["id"] == "https://modelstack.dev/model_build"
    assert run["metadata"]["startedOn"] == "2026-01-02T03:04:05Z"
    assert run["metadata"]["finishedOn"] > run["metadata"]["startedOn"]


def test_the_provenance_vouches_for_all_that_is_attached(to: Destination, contents: Contents, key: PrivateKey) -> None:
    image, _ = published(to, contents, key)
    found = provenance(verified(image, contents, key))
    assert found is not None
    for kind in (REPORT_TYPE, PAGE_TYPE, SBOM_TYPE):
        (content,) = image.attached(kind)
        assert found.names(kind, content)
    assert not found.names(REPORT_TYPE, b"another report")


def test_a_statement_by_another_key_is_no_provenance(
    to: Destination, contents: Contents, key: PrivateKey, tmp_path: Path
) -> None:
    other = a_key(tmp_path, "other")
    image, _ = published(to, contents, other)
    sign(image, key, contents.inputs.hash)
    assert provenance(verified(image, contents, key)) is None
    assert provenance(verified(image, contents, other)) is not None


def test_a_statement_about_another_image_is_no_provenance(to: Destination, contents: Contents, key: PrivateKey) -> None:
    image, _ = published(to, contents, key)
    (signed,) = image.statements()
    other = an_image(to.registry, to.repository, "another")
    sign(other, key, contents.inputs.hash)
    other.add_statement(SignedStatement.sign(signed.payload, key), PREDICATE)
    assert provenance(verified(other, contents, key)) is None


def test_a_planted_report_is_not_the_one_that_counts(to: Destination, contents: Contents, key: PrivateKey) -> None:
    image, _ = published(to, contents, None)
    attach(to.registry, to.repository, image.descriptor, REPORT_TYPE, b'{"metrics": {"accuracy": 1.0}}')
    published(to, contents, key)
    attach(to.registry, to.repository, image.descriptor, REPORT_TYPE, b'{"metrics": {"accuracy": 0.9}}')
    found = provenance(verified(image, contents, key))
    assert found is not None
    assert read_report(
        to.registry, to.repository, image.digest, lambda content: found.names(REPORT_TYPE, content)
    ) == json.loads(REPORT)


def test_no_tag_names_an_image_before_it_is_signed(
    to: Destination, contents: Contents, key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = to.registry.put

    def refuse(repository: str, reference: str, *rest: Any) -> str:
        if reference.endswith(".sig"):
            raise RegistryError("no signatures today; try later")
        return put(repository, reference, *rest)

    monkeypatch.setattr(to.registry, "put", refuse)
    with pytest.raises(RegistryError, match="no signatures today"):
        published(to, contents, key)
    assert to.registry.head(to.repository, contents.inputs.tag) is None


def test_an_earlier_image_that_the_same_key_signed_stays(to: Destination, contents: Contents, key: PrivateKey) -> None:
    first, _ = published(to, contents, key, "first")
    second, own = published(to, contents, key, "second")
    assert (second.digest, own) == (first.digest, False)


def test_an_earlier_image_that_nobody_signed_loses_its_tag(
    to: Destination, contents: Contents, key: PrivateKey
) -> None:
    published(to, contents, None, "planted")
    image, own = published(to, contents, key, "built")
    named = to.registry.head(to.repository, contents.inputs.tag)
    assert own
    assert named is not None
    assert named.digest == image.digest


def test_an_earlier_image_signed_for_other_inputs_loses_its_tag(
    to: Destination, contents: Contents, key: PrivateKey
) -> None:
    planted, _ = published(to, contents, None, "planted")
    sign(planted, key, OTHER_INPUTS)
    assert published(to, contents, key, "built")[1]


def test_publishing_again_signs_once(to: Destination, contents: Contents, key: PrivateKey) -> None:
    for _ in range(2):
        image, _ = published(to, contents, key)
    assert (len(image.signatures()), len(image.statements()), len(image.attached(SBOM_TYPE))) == (1, 1, 1)


def test_an_image_published_unsigned_is_signed_by_a_later_build(
    to: Destination, contents: Contents, key: PrivateKey
) -> None:
    published(to, contents, None)
    image, own = published(to, contents, key)
    assert own
    assert provenance(verified(image, contents, key)) is not None


def test_the_key_that_takes_over_signs_image_and_provenance(
    to: Destination, contents: Contents, key: PrivateKey, tmp_path: Path
) -> None:
    image, _ = published(to, contents, key)
    new = make_pair(tmp_path / "new", "")
    told = signed_again(str(image), str(new.private), [str(tmp_path / "release.pub")])
    assert told.verified.key.fingerprint == new.fingerprint
    assert told.values()["provenance"]["began"] == "2026-01-02T03:04:05Z"
    assert verified(image, contents, private_key(str(new.private), {})).inputs == contents.inputs.hash
    assert verified(image, contents, key).inputs == contents.inputs.hash


def test_the_key_that_takes_over_signs_nothing_that_the_old_one_did_not(
    to: Destination, contents: Contents, tmp_path: Path, key: PrivateKey
) -> None:
    image, _ = published(to, contents, None)
    new = make_pair(tmp_path / "new", "")
    with pytest.raises(SignatureError, match="is not signed"):
        signed_again(str(image), str(new.private), [str(tmp_path / "release.pub")])
    assert image.signatures() == ()


def test_taking_over_twice_signs_once(to: Destination, contents: Contents, key: PrivateKey, tmp_path: Path) -> None:
    image, _ = published(to, contents, key)
    new = make_pair(tmp_path / "new", "")
    for _ in range(2):
        signed_again(str(image), str(new.private), [str(tmp_path / "release.pub")])
    assert (len(image.signatures()), len(image.statements())) == (2, 2)


def test_a_bill_that_the_build_did_not_attach_is_not_told(to: Destination, contents: Contents, key: PrivateKey) -> None:
    image, _ = published(to, contents, key)
    (own,) = image.attached(SBOM_TYPE)
    attach(to.registry, to.repository, image.descriptor, SBOM_TYPE, b'{"components": []}')
    told = Told.of(verified(image, contents, key))
    assert told.bill == f"sha256:{hashlib.sha256(own).hexdigest()}"
