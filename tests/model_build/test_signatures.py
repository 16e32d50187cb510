"""Signatures beside images in a real registry: which count, and why others do not."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from model_build.errors import RegistryError, SignatureError
from model_build.oci.descriptor import CONFIG, INDEX, MANIFEST, Descriptor, digest_of
from model_build.oci.reference import Reference
from model_build.oci.referrers import attach as attach_content
from model_build.oci.referrers import attach_layers, fallback_tag, referrers
from model_build.oci.registry import Manifest, Registry
from model_build.oci.transport import LARGEST_ANSWER
from model_build.oci.upload import put_blob
from model_build.supply import dsse, simple_signing
from model_build.supply.claim import INPUTS as ANNOTATION
from model_build.supply.keys import PrivateKey
from model_build.supply.sign import sign
from model_build.supply.simple_signing import SimpleSigned
from model_build.supply.subject import MOST, SIGNATURES, Subject
from model_build.supply.verify import verify
from tests.signing import INPUTS, OTHER_INPUTS, a_key, an_image


@pytest.fixture
def key(tmp_path: Path) -> PrivateKey:
    return a_key(tmp_path)


@pytest.fixture
def image(registry: Registry, repository: str) -> Subject:
    return an_image(registry, repository)


def refused(image: Subject, key: PrivateKey, inputs: str | None = None) -> str:
    with pytest.raises(SignatureError) as caught:
        verify(image, [key.public], inputs)
    message = str(caught.value)
    assert message.startswith(f"{image}: ")
    assert "\n" not in message
    return message


def attach(image: Subject, key: PrivateKey, content: bytes) -> None:
    """Attach a signature over any bytes."""
    image.add_signature(SimpleSigned(content, key.sign(content)))


def test_a_signed_image_verifies_with_the_public_half(image: Subject, key: PrivateKey) -> None:
    assert sign(image, key, INPUTS)
    verified = verify(image, [key.public], INPUTS)
    assert (verified.key, verified.inputs) == (key.public, INPUTS)


def test_an_image_that_nobody_signed_is_refused(image: Subject, key: PrivateKey) -> None:
    assert "is not signed (nothing under the tag sha256-" in refused(image, key)


def test_a_signature_by_another_key_is_refused(image: Subject, key: PrivateKey, tmp_path: Path) -> None:
    sign(image, a_key(tmp_path, "other"), INPUTS)
    assert f"is signed by another key than {key.public.fingerprint}" in refused(image, key)


def test_a_signature_of_another_image_is_refused(
    image: Subject, key: PrivateKey, registry: Registry, repository: str
) -> None:
    other = an_image(registry, repository, "two")
    attach(image, key, simple_signing.payload(image.name, other.digest, {ANNOTATION: INPUTS}))
    assert f"is of {other.digest}; do not use it" in refused(image, key)


def test_a_signature_for_other_inputs_is_refused(image: Subject, key: PrivateKey) -> None:
    sign(image, key, OTHER_INPUTS)
    assert f"for inputs {OTHER_INPUTS}, asked are {INPUTS}" in refused(image, key, INPUTS)


def test_a_signature_without_inputs_is_refused_where_inputs_are_asked_for(image: Subject, key: PrivateKey) -> None:
    sign(image, key, None)
    assert "for no inputs (annotation modelstack.dev/inputs)" in refused(image, key, INPUTS)


def test_a_signature_without_inputs_verifies_where_none_are_asked_for(image: Subject, key: PrivateKey) -> None:
    sign(image, key, None)
    assert verify(image, [key.public]).inputs is None


@pytest.mark.parametrize(
    "content",
    [
        b" ",
        b"not json",
        b"[]",
        b'{"critical": {}}',
        b'{"critical": {"type": "another", "image": {"docker-manifest-digest": "sha256:%b"}}}' % (b"0" * 64),
        b'{"critical": {"type": "cosign container image signature", "image": {"docker-manifest-digest": "latest"}}}',
    ],
)
def test_a_malformed_payload_is_refused(image: Subject, key: PrivateKey, content: bytes) -> None:
    attach(image, key, content)
    assert "is malformed" in refused(image, key)


def test_a_payload_changed_after_it_was_signed_is_refused(image: Subject, key: PrivateKey) -> None:
    signed = simple_signing.payload(image.name, image.digest, {ANNOTATION: OTHER_INPUTS})
    changed = simple_signing.payload(image.name, image.digest, {ANNOTATION: INPUTS})
    image.add_signature(SimpleSigned(changed, key.sign(signed)))
    assert "is signed by another key" in refused(image, key, INPUTS)


def test_without_a_key_nothing_verifies(image: Subject, key: PrivateKey) -> None:
    sign(image, key, INPUTS)
    with pytest.raises(SignatureError, match="no public key is given"):
        verify(image, [], INPUTS)


def test_one_of_several_keys_is_enough(image: Subject, key: PrivateKey, tmp_path: Path) -> None:
    sign(image, key, INPUTS)
    assert verify(image, [a_key(tmp_path, "other").public, key.public], INPUTS).key == key.public


def test_a_second_signature_leaves_the_first(image: Subject, key: PrivateKey, tmp_path: Path) -> None:
    other = a_key(tmp_path, "other")
    sign(image, key, INPUTS)
    sign(image, other, INPUTS)
    assert [verify(image, [one.public], INPUTS).key for one in (key, other)] == [key.public, other.public]
    assert len(image.signatures()) == 2


def test_a_signature_of_old_inputs_does_not_hide_that_of_the_asked_ones(image: Subject, key: PrivateKey) -> None:
    sign(image, key, OTHER_INPUTS)
    sign(image, key, INPUTS)
    assert verify(image, [key.public], INPUTS).inputs == INPUTS


def test_signing_twice_leaves_one_signature(image: Subject, key: PrivateKey) -> None:
    assert [sign(image, key, INPUTS), sign(image, key, INPUTS)] == [True, False]
    assert len(image.signatures()) == 1


def test_a_signature_lies_under_cosigns_tag_and_refers_to_the_image(image: Subject, key: PrivateKey) -> None:
    sign(image, key, INPUTS)
    tagged = image.registry.head(image.repository, SIGNATURES.tag(image.digest))
    listed = referrers(image.registry, image.repository, image.digest, SIGNATURES.artifact_type)
    assert [one.digest for one in listed] == [tagged and tagged.digest]


def test_a_signature_is_found_without_cosigns_tag(image: Subject, key: PrivateKey) -> None:
    sign(image, key, INPUTS)
    image.registry.untag(image.repository, SIGNATURES.tag(image.digest))
    assert verify(image, [key.public], INPUTS).inputs == INPUTS


def test_a_signature_that_cosign_2_tagged_is_found(image: Subject, key: PrivateKey) -> None:
    """Its manifest has an image's configuration and refers to nothing."""
    signed = simple_signing.payload(image.name, image.digest, {ANNOTATION: INPUTS})
    config = b'{"architecture":"","os":"","config":{}}'
    layers = [described(image, signed, simple_signing.MEDIA_TYPE, signature_of(key, signed))]
    manifest = {"config": described(image, config, CONFIG), "layers": layers}
    tag(image, manifest)
    assert verify(image, [key.public], INPUTS).inputs == INPUTS


class Lying(Registry):
    """The registry, with something else under cosign's tag."""

    def __init__(self, host: str, body: bytes) -> None:
        super().__init__(host)
        self._body = body

    def get(self, repository: str, reference: str) -> Manifest | None:
        if reference.endswith(".sig"):
            return Manifest(Descriptor.of(self._body, MANIFEST), self._body)
        return super().get(repository, reference)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"layers": 3}', b'{"layers": [{"mediaType": "a", "digest": "b"}]}'])
def test_a_malformed_manifest_of_signatures_is_as_good_as_none(image: Subject, key: PrivateKey, body: bytes) -> None:
    lying = Lying(image.registry.host, body)
    assert "is not signed" in refused(Subject(lying, image.repository, image.descriptor), key)


def test_a_signed_statement_of_cosign_3_verifies(image: Subject, key: PrivateKey) -> None:
    signed = dsse.statement(image.name, image.digest, {ANNOTATION: INPUTS}, dsse.SIGNED, {})
    attach_bundle(image, bundle_of(dsse.SignedStatement.sign(signed, key)))
    assert verify(image, [key.public], INPUTS).inputs == INPUTS


def test_a_signed_statement_of_another_type_is_no_signature(image: Subject, key: PrivateKey) -> None:
    kind = "https://example.com/scanned/v1"
    signed = dsse.statement(image.name, image.digest, {ANNOTATION: INPUTS}, kind, {})
    image.add_statement(dsse.SignedStatement.sign(signed, key), kind)
    assert "is not signed" in refused(image, key)


@pytest.mark.parametrize(
    "body", [b"{}", b"not json", b'{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"}']
)
def test_a_malformed_bundle_is_as_good_as_none(image: Subject, key: PrivateKey, body: bytes) -> None:
    attach_bundle(image, body)
    assert "is not signed" in refused(image, key)


def test_a_malformed_list_of_referrers_is_an_error_of_the_registry(image: Subject, key: PrivateKey) -> None:
    listed = {"digest": image.digest, "size": image.descriptor.size}
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [listed]}).encode()
    image.registry.put(image.repository, fallback_tag(image.digest), body, INDEX)
    with pytest.raises(RegistryError, match=r"is malformed \(KeyError\('mediaType'\)\); remove the tag sha256-"):
        verify(image, [key.public])


def test_of_very_many_signatures_not_all_are_read(image: Subject, key: PrivateKey) -> None:
    layers = []
    for number in range(MOST + 1):
        signed = simple_signing.payload(image.name, image.digest, {"number": str(number)})
        layers.append(described(image, signed, simple_signing.MEDIA_TYPE, signature_of(key, signed)))
    tag(image, {"config": described(image, b"{}", CONFIG), "layers": layers})
    assert len(image.signatures()) == MOST


def test_a_signature_that_is_too_large_to_be_one_hides_no_other(image: Subject, key: PrivateKey) -> None:
    sign(image, key, INPUTS)
    content = b" " * (LARGEST_ANSWER + 1)
    told = {"annotations": signature_of(key, content)}
    layer = Descriptor(simple_signing.MEDIA_TYPE, digest_of(content), len(content), told)
    attach_layers(image.registry, image.repository, image.descriptor, SIGNATURES.artifact_type, [(layer, content)])
    assert verify(image, [key.public], INPUTS).inputs == INPUTS


def test_an_image_that_is_not_there_is_named(registry: Registry, repository: str) -> None:
    with pytest.raises(RegistryError, match=r":none is not there; push it or correct the name"):
        Subject.of(registry, Reference(registry.host, repository, tag="none"))


def attach_bundle(image: Subject, body: bytes) -> None:
    attach_content(image.registry, image.repository, image.descriptor, dsse.BUNDLE, body, media_type=dsse.BUNDLE)


def bundle_of(signed: dsse.SignedStatement) -> bytes:
    """Return a bundle as cosign 3 writes it."""
    material = {"publicKey": {"hint": ""}}
    told = {"mediaType": dsse.BUNDLE, "verificationMaterial": material, "dsseEnvelope": json.loads(signed.envelope)}
    return json.dumps(told).encode()


def signature_of(key: PrivateKey, signed: bytes) -> dict[str, str]:
    return {"dev.cosignproject.cosign/signature": base64.b64encode(key.sign(signed)).decode()}


def described(
    image: Subject, body: bytes, media_type: str, annotations: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Upload a blob and return what a manifest says of it."""
    found = Descriptor.of(body, media_type)
    put_blob(image.registry, image.repository, body)
    return {**found.json(), **({"annotations": dict(annotations)} if annotations else {})}


def tag(image: Subject, manifest: dict[str, Any]) -> None:
    """Store a manifest under cosign's tag."""
    body = {"schemaVersion": 2, "mediaType": MANIFEST, **manifest}
    image.registry.put(image.repository, SIGNATURES.tag(image.digest), json.dumps(body).encode())
