import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from model_build.errors import DataError
from model_build.oci import layer as layers
from model_build.oci import tar
from model_build.oci.descriptor import digest_of
from model_build.oci.layer import Contents, Layer, entries_layer, folder_contents, tree_layer
from model_build.oci.tar import Entry


def members(layer: Layer) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(layer.open()))) as tar:
        return {one.name: one for one in tar.getmembers()}


def folder_layer(folder: Path, at: str) -> Layer:
    (one,) = folder_contents(folder, at)
    return one.read()


def filled(folder: Path, names: list[str]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
    return folder


def test_a_layer_does_not_depend_on_the_order_or_time_in_which_its_files_were_written(tmp_path: Path) -> None:
    one = filled(tmp_path / "one", ["b/c", "a", "b/a"])
    two = filled(tmp_path / "two", ["b/a", "b/c", "a"])
    os.utime(two / "a", (1, 1))
    assert folder_layer(one, "models/x").digest == folder_layer(two, "/models/x/").digest


def test_a_layer_holds_no_clock_reading_and_one_owner(tmp_path: Path) -> None:
    found = members(folder_layer(filled(tmp_path, ["a", "b/c"]), "models/x")).values()
    assert {(one.mtime, one.uid, one.gid, one.uname, one.gname) for one in found} == {(0, 65532, 65532, "", "")}


def test_a_layer_names_its_files_below_the_place_in_the_image(tmp_path: Path) -> None:
    found = members(folder_layer(filled(tmp_path, ["a", "b/c"]), "/models/x"))
    assert list(found) == ["models/x", "models/x/a", "models/x/b", "models/x/b/c"]


def test_a_layers_size_and_digest_are_those_of_its_stream(tmp_path: Path) -> None:
    layer = folder_layer(filled(tmp_path, ["a", "b" * 150]), "x")
    stream = b"".join(layer.open())
    assert (layer.size, layer.digest, layer.diff_id) == (len(stream), digest_of(stream), digest_of(stream))


def test_a_name_over_the_limit_of_ustar_survives() -> None:
    assert f"deep/{'n' * 200}" in members(entries_layer([Entry(f"deep/{'n' * 200}", b"x")]))


def test_a_big_file_is_a_layer_of_its_own(tmp_path: Path) -> None:
    filled(tmp_path, ["small", "other"])
    (tmp_path / "weights.bin").write_bytes(b"w" * 5000)
    bundle, weights = (one.read() for one in folder_contents(tmp_path, "models/x", own_layer_bytes=5000))
    assert "models/x/weights.bin" not in members(bundle)
    assert list(members(weights)) == ["models/x/weights.bin"]


def test_the_limit_for_a_layer_of_its_own_is_64_mebibytes(tmp_path: Path) -> None:
    for name, size in (("below", layers.OWN_LAYER_BYTES - 1), ("at", layers.OWN_LAYER_BYTES)):
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(size)
    assert [list(members(one.read())) for one in folder_contents(tmp_path, "x")] == [["x", "x/below"], ["x/at"]]


def test_a_big_file_is_streamed_in_chunks(tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as stream:
        stream.truncate(20 * tar.CHUNK)
    assert max(len(chunk) for chunk in folder_layer(tmp_path, "x").open()) <= 3 * tar.CHUNK


def test_a_root_tree_keeps_modes_and_links_and_belongs_to_root(tmp_path: Path) -> None:
    filled(tmp_path, ["usr/bin/tool"])
    (tmp_path / "usr/bin/tool").chmod(0o4755)
    (tmp_path / "bin").symlink_to("usr/bin")
    found = members(tree_layer(tmp_path))
    assert (found["bin"].linkname, found["bin"].issym()) == ("usr/bin", True)
    assert (stat.S_IMODE(found["usr/bin/tool"].mode), found["usr/bin/tool"].uid) == (0o4755, 0)


def test_pipes_stay_out_of_a_root_tree(tmp_path: Path) -> None:
    filled(tmp_path, ["file"])
    os.mkfifo(tmp_path / "pipe")
    assert list(members(tree_layer(tmp_path))) == ["file"]


def test_a_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="stands twice"):
        entries_layer([Entry("a", b"1"), Entry("/a", b"2")])


def test_a_name_that_leaves_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="no path inside the image"):
        entries_layer([Entry("../a", b"1")])


def test_a_file_that_changes_while_it_is_pushed_is_noticed(tmp_path: Path) -> None:
    path = filled(tmp_path, ["a"]) / "a"
    layer = folder_layer(tmp_path, "x")
    path.write_bytes(b"another size than before")
    with pytest.raises(DataError, match="was written to; leave them alone and run again"):
        b"".join(layer.open())


def test_a_file_that_is_written_again_with_as_many_bytes_is_noticed_by_its_time(tmp_path: Path) -> None:
    path = filled(tmp_path, ["a"]) / "a"
    layer = folder_layer(tmp_path, "x")
    path.write_text("Content of a")
    os.utime(path, (1, 1))
    with pytest.raises(DataError, match="was written to"):
        b"".join(layer.open())


@pytest.mark.parametrize("start", [0, 1, 511, 512, 1023, 1024, 5000, 3_000_000, 3_004_416, 3_005_440])
def test_a_stream_read_from_a_byte_on_is_the_rest_of_the_whole(tmp_path: Path, start: int) -> None:
    filled(tmp_path, ["a", "n" * 150])
    (tmp_path / "big").write_bytes(os.urandom(3_000_000))
    layer = folder_layer(tmp_path, "x")
    assert b"".join(layer.open(start)) == b"".join(layer.open())[start:]


@pytest.mark.parametrize("name", ["models/.wh.model.onnx", ".wh..wh..opq", ".wh.a/b"])
def test_a_name_that_would_remove_files_of_the_layers_below_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"begins with \.wh\."):
        Contents.of([Entry(name, b"")])
