"""Images copied between repositories of real registries: the same digest, with all that vouches for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from model_build.errors import RegistryError
from model_build.oci.copy import Where, copy_image, lacking
from model_build.oci.readback import read_back
from model_build.oci.reference import Reference
from model_build.oci.referrers import attach, attached, referrers
from model_build.oci.registry import Registry
from model_build.supply.copying import copy_signed
from model_build.supply.keys import PrivateKey
from model_build.supply.sign import sign
from model_build.supply.subject import STATEMENTS, Subject
from model_build.supply.tested import PREDICATE, Record, attach_record, records
from model_build.supply.verify import verify
from provider.registry import Repository
from tests.ops.test_gc import indexed
from tests.registry import flip, running_registry
from tests.signing import INPUTS, a_key, an_image

KIND = "application/vnd.tests.note"
PASSED = Record("load", "dev", INPUTS, "2026-01-02T03:04:05Z", ("p99",), (), {"p99": 1.0}, {"p99": 0.1})


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host of a second registry."""
    with running_registry(tmp_path_factory.mktemp("elsewhere")) as host:
        yield host


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A repository of its own for each test."""
    return f"copying/{re.sub('[^a-z0-9]+', '-', request.node.name)[:90].strip('-')}"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> PrivateKey:
    return a_key(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def image(host: str, name: str, key: PrivateKey) -> Subject:
    """A signed image with a note and a test record."""
    subject = an_image(Registry(host), name)
    attach(subject.registry, name, subject.descriptor, KIND, b"a note", media_type=KIND)
    attach_record(subject, PASSED, key)
    sign(subject, key, INPUTS)
    return subject


def at(target: Where, digest: str) -> Subject:
    return Subject.of(target.registry, Reference(target.registry.host, target.repository, digest=digest))


@pytest.mark.parametrize("far", [True, False], ids=["to another registry", "within one registry"])
def test_an_image_is_verified_at_its_new_place_by_the_key_that_signed_it(
    image: Subject, key: PrivateKey, elsewhere: str, name: str, *, far: bool
) -> None:
    target = Where(Registry(elsewhere if far else image.registry.host), f"{name}/copy")
    copy_signed(image, target)
    copy = at(target, image.digest)
    assert verify(copy, [key.public], INPUTS).subject.digest == image.digest
    assert read_back(target.registry, target.repository, image.digest) > 0
    assert records(copy, [key.public]) == (PASSED,)
    assert copy.attached(KIND) == (b"a note",)


def test_a_second_copy_sends_nothing(image: Subject, elsewhere: str, name: str) -> None:
    target = Where(Registry(elsewhere), name)
    first = copy_signed(image, target)
    assert (first.attached, first.statements, first.signatures) == (1, 1, 1)
    assert lacking(image.digest, Where(image.registry, name), target) == ()
    again = copy_signed(image, target)
    assert (again.attached, again.statements, again.signatures) == (0, 0, 0)


def test_what_is_attached_at_the_new_place_already_stays(
    image: Subject, elsewhere: str, name: str, key: PrivateKey
) -> None:
    target = Where(Registry(elsewhere), name)
    copy_image(image.digest, Where(image.registry, name), target)
    attach_record(at(target, image.digest), replace(PASSED, stack="test"), key)
    copy_signed(image, target)
    assert {one.stack for one in records(at(target, image.digest), [key.public])} == {"dev", "test"}


def test_an_index_comes_with_the_images_that_it_names(host: str, elsewhere: str, name: str) -> None:
    digest, children = indexed(Repository(host, name, None, Path.cwd()), "v1", "amd", "arm")
    target = Where(Registry(elsewhere), name)
    copy_image(digest, Where(Registry(host), name), target)
    assert [target.manifest(one).digest for one in (*children, digest)] == [*children, digest]


def test_an_image_that_is_not_there_is_one_clear_error(host: str, elsewhere: str, name: str) -> None:
    digest = f"sha256:{'0' * 64}"
    with pytest.raises(RegistryError, match=rf"{name}@{digest} is not there; push it again$"):
        copy_image(digest, Where(Registry(host), name), Where(Registry(elsewhere), name))


def test_bytes_that_are_not_their_digests_arrive_nowhere(tmp_path: Path, elsewhere: str, name: str) -> None:
    with running_registry(tmp_path) as host:
        subject = an_image(Registry(host), name, "damaged")
        source, target = Where(subject.registry, name), Where(Registry(elsewhere), name)
        (config,) = lacking(subject.digest, source, target)
        flip(tmp_path, config.digest)
        with pytest.raises(RegistryError):
            copy_image(subject.digest, source, target)
    assert target.registry.head(name, subject.digest) is None


def test_a_later_result_stands_in_place_of_an_earlier_one(image: Subject, key: PrivateKey) -> None:
    failed = replace(PASSED, ended="2026-02-01T00:00:00Z", passed=(), failed=("p99",))
    attach_record(image, failed, key)
    assert records(image, [key.public]) == (failed,)
    assert [one.is_of(PREDICATE) for one in image.statements()] == [True]


def test_many_records_leave_one_list_of_statements(image: Subject, key: PrivateKey) -> None:
    for day in range(1, 21):
        attach_record(image, replace(PASSED, ended=f"2026-02-{day:02}T00:00:00Z"), key)
    assert len(referrers(image.registry, image.repository, image.digest, STATEMENTS.artifact_type)) == 1
    assert [one.ended for one in records(image, [key.public])] == ["2026-02-20T00:00:00Z"]


def test_a_record_of_another_key_does_not_count(image: Subject, tmp_path: Path) -> None:
    assert records(image, [a_key(tmp_path, "stranger").public]) == ()


def test_a_record_that_nobody_signed_counts_where_no_key_does(host: str, name: str, key: PrivateKey) -> None:
    subject = an_image(Registry(host), name)
    attach_record(subject, PASSED, None)
    assert records(subject, None) == (PASSED,)
    assert records(subject, [key.public]) == ()


def test_a_record_of_another_image_does_not_count(host: str, name: str, image: Subject, key: PrivateKey) -> None:
    (signed,) = image.statements()
    other = an_image(Registry(host), name, "other")
    other.add_statement(signed, PREDICATE)
    assert records(other, [key.public]) == ()


def test_what_is_attached_can_be_read_after_a_copy(image: Subject, elsewhere: str, name: str) -> None:
    target = Where(Registry(elsewhere), name)
    copy_signed(image, target)
    found = referrers(target.registry, name, image.digest)
    assert all(attached(target.registry, name, one.digest) is not None for one in found)
