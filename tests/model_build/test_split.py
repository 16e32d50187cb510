"""Weights in files beside the graph."""

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model_build.graph import split as splitting
from model_build.graph.split import place, split
from model_build.hashing import hash_file
from model_build.oci.image import Draft
from model_build.oci.layer import folder_contents
from model_build.oci.memory import Memory
from model_build.oci.push import Target, push_draft
from model_build.oci.registry import Registry
from tests.model_build.faulty import way

WIDTH = 64
LAYER_BYTES = WIDTH * WIDTH * 4
RNG = np.random.default_rng(7)
BACKBONE = [RNG.normal(size=(WIDTH, WIDTH)).astype(np.float32) / 8 for _ in range(4)]
HEAD = RNG.normal(size=(WIDTH, WIDTH)).astype(np.float32)


def written(path: Path, head: NDArray[np.float32] = HEAD) -> Path:
    """Write a model of four layers and a head, which is the first that the file names."""
    weights = {"head": head, **{f"layer-{number}": one for number, one in enumerate(BACKBONE)}}
    values = ["x", "a", "b", "c", "d", "y"]
    order = [*list(weights)[1:], "head"]
    nodes = [
        helper.make_node("MatMul", [values[number], name], [values[number + 1]]) for number, name in enumerate(order)
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in "xy"]
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "graph", ends[:1], ends[1:], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def answer(path: Path) -> NDArray[np.float32]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = np.ones((2, WIDTH), np.float32)
    return np.asarray(session.run(None, {"x": inputs})[0], np.float32)


def files(folder: Path) -> dict[str, str]:
    return {path.name: hash_file(path) for path in sorted(folder.glob("weights-*"))}


def split_into(folder: Path, source: Path) -> Path:
    folder.mkdir()
    split(source, folder / "model.onnx", largest_file=2 * LAYER_BYTES)
    return folder


def test_a_split_model_answers_as_before(tmp_path: Path) -> None:
    source = written(tmp_path / "whole.onnx")
    folder = split_into(tmp_path / "split", source)
    assert np.array_equal(answer(folder / "model.onnx"), answer(source))


def test_the_files_follow_the_order_in_which_the_graph_comes_to_its_weights(tmp_path: Path) -> None:
    folder = split_into(tmp_path / "split", written(tmp_path / "whole.onnx"))
    found = [path.stat().st_size for path in sorted(folder.glob("weights-*"))]
    assert found == [2 * LAYER_BYTES, 2 * LAYER_BYTES, LAYER_BYTES]
    assert (folder / "weights-002.bin").read_bytes() == HEAD.tobytes()
    assert (folder / "model.onnx").stat().st_size < LAYER_BYTES


def test_another_head_leaves_the_files_of_the_backbone_as_they_are(tmp_path: Path) -> None:
    one = split_into(tmp_path / "one", written(tmp_path / "one.onnx"))
    two = split_into(tmp_path / "two", written(tmp_path / "two.onnx", HEAD + 1))
    differ = {name for name, found in files(one).items() if files(two)[name] != found}
    assert differ == {"weights-002.bin"}
    assert hash_file(one / "model.onnx") == hash_file(two / "model.onnx")


def test_a_small_model_stays_in_one_file(tmp_path: Path) -> None:
    source = written(tmp_path / "whole.onnx")
    (tmp_path / "out").mkdir()
    place(source, tmp_path / "out" / "model.onnx")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.onnx"]
    assert hash_file(tmp_path / "out" / "model.onnx") == hash_file(source)


def test_a_new_head_sends_its_own_bytes_alone(
    tmp_path: Path, host: str, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splitting, "LARGEST_FILE", 2 * LAYER_BYTES)
    memory = Memory(tmp_path / "memory")
    folder = tmp_path / "artifact"
    folder.mkdir()

    def pushed(time: int) -> None:
        for path in folder.iterdir():
            os.utime(path, (time, time))
        contents = folder_contents(folder, "models/x", own_layer_bytes=LAYER_BYTES)
        push_draft(Draft("linux/amd64", contents), Target(Registry(host_seen), repository, memory=memory))

    with way(host) as (host_seen, found):
        place(written(tmp_path / "one.onnx"), folder / "model.onnx")
        pushed(1)
        first = sum(found.sizes)
        for path in folder.glob("weights-*"):
            path.unlink()
        place(written(tmp_path / "two.onnx", HEAD + 1), folder / "model.onnx")
        pushed(2)
    assert first > 5 * LAYER_BYTES
    assert sum(found.sizes) - first < 1.5 * LAYER_BYTES + 20_000


def test_a_split_over_what_a_killed_one_left_behind_answers_as_before(tmp_path: Path) -> None:
    source = written(tmp_path / "whole.onnx")
    target = split_into(tmp_path / "split", source) / "model.onnx"
    split(source, target, largest_file=2 * LAYER_BYTES)
    assert np.array_equal(answer(target), answer(source))
