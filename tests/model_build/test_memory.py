"""What is remembered of earlier pushes, and when it must not be believed."""

import os
import time
from pathlib import Path

import pytest

from model_build.oci.layer import Contents
from model_build.oci.memory import MOST_REPOSITORIES, NOTHING, Memory
from model_build.oci.tar import Entry

LONG_AGO = 1_000_000_000


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path / "memory")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file that nobody has touched for years."""
    path = tmp_path / "weights"
    path.write_bytes(b"weights")
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def contents(path: Path) -> Contents:
    return Contents.of([Entry("models/x/weights", path)])


def test_contents_that_nobody_touched_are_known_by_their_digest(memory: Memory, weights: Path) -> None:
    layer = contents(weights).read()
    memory.keep(layer)
    found = memory.layer(contents(weights))
    assert found is not None
    assert found.digest == layer.digest


def test_a_file_of_another_time_size_or_inode_is_not_known(memory: Memory, weights: Path) -> None:
    memory.keep(contents(weights).read())
    os.utime(weights, ns=(LONG_AGO, LONG_AGO * 10**9 + 1))
    assert memory.layer(contents(weights)) is None
    weights.write_bytes(b"other weights")
    os.utime(weights, (LONG_AGO, LONG_AGO))
    assert memory.layer(contents(weights)) is None
    weights.rename(weights.with_name("old"))
    weights.write_bytes(b"weights")
    os.utime(weights, (LONG_AGO, LONG_AGO))
    assert memory.layer(contents(weights)) is None


def test_the_same_file_under_another_name_or_mode_is_not_known(memory: Memory, weights: Path) -> None:
    memory.keep(contents(weights).read())
    assert memory.layer(Contents.of([Entry("models/y/weights", weights)])) is None
    assert memory.layer(Contents.of([Entry("models/x/weights", weights, mode=0o755)])) is None


def test_a_file_written_in_this_moment_is_not_kept(memory: Memory, weights: Path) -> None:
    os.utime(weights, ns=(time.time_ns(), time.time_ns()))
    layer = contents(weights).read()
    memory.keep(layer)
    assert memory.layer(layer.contents) is None
    assert memory.knows_shape(layer.contents)


def test_a_damaged_note_is_as_good_as_none(memory: Memory, weights: Path) -> None:
    layer = contents(weights).read()
    memory.keep(layer)
    memory.keep_place("host", layer.digest, "a")
    for path in (path for path in (memory.folder or Path()).rglob("*") if path.is_file()):
        path.write_bytes(b"\xff half")
    assert memory.layer(layer.contents) is None
    assert memory.repositories("host", layer.digest) == ()


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path, weights: Path) -> None:
    (tmp_path / "file").write_text("")
    memory = Memory(tmp_path / "file")
    layer = contents(weights).read()
    memory.keep(layer)
    assert memory.layer(layer.contents) is None


def test_repositories_of_a_blob_are_named_latest_first_and_a_bounded_number_of_them(memory: Memory) -> None:
    for name in ("a", "b", "c", "d", "e", "b"):
        memory.keep_place("host", "sha256:1", name)
    found = memory.repositories("host", "sha256:1")
    assert found[:3] == ("b", "e", "d")
    assert len(found) == MOST_REPOSITORIES
    assert memory.repositories("elsewhere", "sha256:1") == ()


def test_nothing_is_kept_where_there_is_no_memory(weights: Path) -> None:
    layer = contents(weights).read()
    NOTHING.keep(layer)
    NOTHING.keep_place("host", layer.digest, "a")
    NOTHING.forget(layer.contents)
    assert NOTHING.layer(layer.contents) is None
    assert NOTHING.repositories("host", layer.digest) == ()


def test_a_file_written_in_this_moment_is_not_kept_behind_a_link_either(memory: Memory, tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    os.utime(link, (LONG_AGO, LONG_AGO), follow_symlinks=False)
    target.write_bytes(b"weights")
    memory.keep(contents(link).read())
    assert memory.layer(contents(link)) is None
