import json

import pytest

from model_build.errors import RegistryError
from model_build.oci.image import Image
from model_build.oci.layer import entries_layer
from model_build.oci.mirrors import Source
from model_build.oci.reference import Reference
from model_build.oci.registry import Registry
from model_build.oci.tar import Entry
from model_build.publish import REPORT_TYPE, Destination, publish, read_report

TAG = "inputs-" + "0" * 64
REPORT = json.dumps({"steps": [], "metrics": {"accuracy": 0.5}}).encode()


def image_of(text: str, platform: str = "linux/amd64") -> Image:
    return Image(platform, (entries_layer([Entry("file", text.encode())]),))


@pytest.fixture
def to(registry: Registry, repository: str) -> Destination:
    return Destination(registry, repository, Source((registry,)), Reference(registry.host, "none"))


def untold(_done: int, _whole: int) -> None:
    return


def test_a_published_image_carries_its_inputs_tag_and_its_report(to: Destination) -> None:
    image = image_of("one")
    assert publish([image.draft], to, TAG, {REPORT_TYPE: REPORT}, untold) == (image.digest, True)
    found = to.registry.head(to.repository, TAG)
    assert found is not None
    assert found.digest == image.digest
    assert read_report(to.registry, to.repository, image.digest) == json.loads(REPORT)


def test_of_two_images_of_the_same_inputs_the_first_one_stays(to: Destination) -> None:
    first, second = image_of("first"), image_of("second")
    publish([first.draft], to, TAG, {REPORT_TYPE: REPORT}, untold)
    assert publish([second.draft], to, TAG, {REPORT_TYPE: REPORT}, untold) == (first.digest, False)
    found = to.registry.head(to.repository, TAG)
    assert found is not None
    assert found.digest == first.digest


def test_publishing_the_same_image_again_keeps_one_report(to: Destination) -> None:
    image = image_of("one")
    publish([image.draft], to, TAG, {REPORT_TYPE: REPORT}, untold)
    publish([image.draft], to, TAG, {REPORT_TYPE: b'{"later": true}'}, untold)
    assert read_report(to.registry, to.repository, image.digest) == json.loads(REPORT)


def test_images_of_two_platforms_share_one_tag(to: Destination) -> None:
    images = [image_of("amd"), image_of("arm", "linux/arm64")]
    digest, _ = publish([one.draft for one in images], to, TAG, {REPORT_TYPE: REPORT}, untold)
    manifest = to.registry.get(to.repository, TAG)
    assert manifest is not None
    assert manifest.digest == digest
    listed = {one["platform"]["architecture"]: one["digest"] for one in manifest.parsed["manifests"]}
    assert listed == {"amd64": images[0].digest, "arm64": images[1].digest}


def test_the_tag_comes_after_the_report(to: Destination, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bool:
        raise RegistryError("no referrers today; try later")

    monkeypatch.setattr(to.registry, "put_referrer", refuse)
    with pytest.raises(RegistryError, match="no referrers today"):
        publish([image_of("one").draft], to, TAG, {REPORT_TYPE: REPORT}, untold)
    assert to.registry.head(to.repository, TAG) is None


def test_an_image_without_a_report_has_none(to: Destination) -> None:
    assert read_report(to.registry, to.repository, image_of("nothing").digest) is None
