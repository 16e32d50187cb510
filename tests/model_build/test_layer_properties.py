"""Any names, sizes, links and owners: a layer is what a tar reader reads, and the same bytes everywhere."""

import io
import os
import random
import subprocess
import tarfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from model_build.oci.descriptor import digest_of
from model_build.oci.layer import Contents, folder_contents
from model_build.oci.tar import CHUNK, Entry, size_of, stream

# What a path may hold on Linux: anything but a slash and the zero byte, 255 bytes a name.
PART = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda part: part not in (".", "..") and len(part.encode()) <= 255
)
PATH = st.lists(PART, min_size=1, max_size=6).map("/".join)
CONTENT = st.one_of(st.binary(max_size=1200), st.sampled_from([bytes(511), bytes(512), bytes(513)]))


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    """Files, folders and links of different names, in any order."""
    found = []
    for path in draw(st.lists(PATH, max_size=12, unique=True)):
        mode = draw(st.sampled_from([0o644, 0o755, 0o4755, 0o600]))
        kind = draw(st.sampled_from(["file", "folder", "link"]))
        if kind == "file":
            found.append(Entry(path, draw(CONTENT), mode=mode))
        elif kind == "link":
            found.append(Entry(path, target=draw(PATH), mode=0o777))
        else:
            found.append(Entry.folder(path, mode))
    return found


def read(content: bytes) -> dict[str, tuple[int, bytes, str, int]]:
    """Return what Python's tar reader finds: type, bytes, link and mode by name."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        found = {}
        for one in archive.getmembers():
            opened = archive.extractfile(one) if one.isfile() else None
            kind = 0 if one.isfile() else 1 if one.issym() else 2
            found[one.name] = (kind, opened.read() if opened else b"", one.linkname, one.mode)
        return found


def wanted(given: list[Entry]) -> dict[str, tuple[int, bytes, str, int]]:
    def of(one: Entry) -> tuple[int, bytes, str, int]:
        if one.target is not None:
            return (1, b"", one.target, one.mode)
        if isinstance(one.content, bytes):
            return (0, one.content, "", one.mode)
        return (2, b"", "", one.mode)

    return {one.name: of(one) for one in given}


@given(entries())
def test_a_tar_reader_finds_every_name_with_its_bytes_mode_and_link(given: list[Entry]) -> None:
    assert read(b"".join(Contents.of(given).open())) == wanted(given)


@given(entries(), st.randoms(use_true_random=False))
def test_the_order_in_which_entries_come_changes_no_byte(given: list[Entry], chance: random.Random) -> None:
    other = list(given)
    chance.shuffle(other)
    assert Contents.of(given).read().digest == Contents.of(other).read().digest


@given(entries(), st.integers(min_value=0))
def test_a_layer_has_the_size_it_was_said_to_have_and_can_be_read_from_any_byte_on(
    given: list[Entry], start: int
) -> None:
    contents = Contents.of(given)
    whole = b"".join(contents.open())
    start %= len(whole) + 1
    assert contents.size == len(whole)
    assert contents.read().digest == digest_of(whole)
    assert b"".join(contents.open(start)) == whole[start:]


@given(entries())
def test_other_bytes_are_another_identity(given: list[Entry]) -> None:
    contents = Contents.of([*given, Entry("one more/file", b"a")])
    assert contents.identity != Contents.of([*given, Entry("one more/file", b"b")]).identity
    assert contents.identity == Contents.of([*given, Entry("one more/file", b"a")]).identity


def test_gnu_tar_reads_a_layer_of_long_and_foreign_names(tmp_path: Path) -> None:
    names = ["ü" * 120, "日本語/" * 20 + "x", "n" * 255, "a b\tc", "-rf"]
    contents = Contents.of(Entry(name, name.encode()) for name in names)
    subprocess.run(["tar", "-x", "-C", tmp_path], input=b"".join(contents.open()), check=True)
    assert all((tmp_path / name).read_bytes() == name.encode() for name in names)


def test_a_file_over_the_8_gib_of_a_plain_header_is_named_with_its_size(tmp_path: Path) -> None:
    size = 9 * 1024**3
    with (tmp_path / "weights").open("wb") as sparse:
        sparse.truncate(size)
    entries = [Entry("weights", tmp_path / "weights")]
    head = next(stream(entries))
    with tarfile.open(fileobj=io.BytesIO(head + bytes(2 * CHUNK))) as archive:
        member = archive.next()
        assert member is not None
        assert (member.name, member.size) == ("weights", size)
    whole = size_of(entries)
    assert size < whole < size + 10_000
    assert b"".join(stream(entries, whole - 3000)) == bytes(3000)


def test_other_clocks_umasks_and_users_give_the_same_layer(tmp_path: Path) -> None:
    digests = set()
    for number, (umask, owner, time) in enumerate([(0o022, 0, 1), (0o077, 1234, 1_900_000_000), (0o007, 65534, 7)]):
        folder = tmp_path / f"{number}"
        before = os.umask(umask)
        try:
            (folder / "below").mkdir(parents=True)
            for name in ("model.onnx", "below/tool"):
                (folder / name).write_bytes(name.encode())
            (folder / "below" / "tool").chmod((0o777 & ~umask) | 0o100)
        finally:
            os.umask(before)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner, owner)
            os.utime(path, (time, time))
        digests |= {one.read().digest for one in folder_contents(folder, "models/x")}
    assert len(digests) == 1
