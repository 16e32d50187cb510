"""ONNX files of other people's: what is taken in, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from model_build.errors import RecipeError
from model_build.graph.load import normal
from model_build.graph.whole import open_whole

WEIGHTS = np.random.default_rng(7).normal(size=(64, 64)).astype(np.float32)


def graph(**names: str) -> onnx.ModelProto:
    """Return a model of `y = x @ w`, with other names for x and y where told."""
    given, answered = names.get("x", "x"), names.get("y", "y")
    return helper.make_model(
        helper.make_graph(
            [helper.make_node("MatMul", [given, "w"], [answered])],
            "graph",
            [helper.make_tensor_value_info(given, TensorProto.FLOAT, ["n", 64])],
            [helper.make_tensor_value_info(answered, TensorProto.FLOAT, ["n", 64])],
            [numpy_helper.from_array(WEIGHTS, "w")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )


@pytest.fixture
def external(tmp_path: Path) -> Path:
    """A model whose weights lie in another file beside it."""
    path = tmp_path / "home" / "model.onnx"
    path.parent.mkdir()
    onnx.save(graph(), path, save_as_external_data=True, location="model.data", size_threshold=0)
    assert path.with_name("model.data").is_file()
    return path


def moved(path: Path, location: str) -> None:
    """Say that the weights lie elsewhere."""
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        entry.value = location if entry.key == "location" else entry.value
    path.write_bytes(model.SerializeToString())


def refused(path: Path) -> str:
    with pytest.raises(RecipeError) as caught:
        open_whole(path)
    return str(caught.value)


def test_external_data_becomes_part_of_the_model(external: Path) -> None:
    model = open_whole(external)
    external.with_name("model.data").unlink()
    assert np.array_equal(numpy_helper.to_array(model.graph.initializer[0]), WEIGHTS)


@pytest.mark.parametrize("location", ["../stolen.data", "deeper/../../stolen.data", "ABSOLUTE"])
def test_external_data_outside_the_folder_is_refused(external: Path, location: str) -> None:
    stolen = external.parent.parent / "stolen.data"
    shutil.copy(external.with_name("model.data"), stolen)
    moved(external, str(stolen) if location == "ABSOLUTE" else location)
    assert "which leaves the model's folder; keep external data beside the .onnx file" in refused(external)


def test_external_data_behind_a_link_out_of_the_folder_is_refused(external: Path) -> None:
    inside = external.with_name("model.data")
    stolen = external.parent.parent / "stolen.data"
    inside.rename(stolen)
    inside.symlink_to(stolen)
    assert "which leaves the model's folder" in refused(external)


def test_external_data_that_is_hidden_is_refused(external: Path) -> None:
    external.with_name("model.data").rename(external.with_name(".model.data"))
    moved(external, ".model.data")
    assert "which is hidden; give it a name that the inputs' hash sees" in refused(external)


def test_external_data_that_is_missing_is_refused(external: Path) -> None:
    external.with_name("model.data").unlink()
    assert "which is no file; copy it too" in refused(external)


def test_external_data_that_was_cut_short_is_refused(external: Path) -> None:
    kept = external.with_name("model.data").read_bytes()
    external.with_name("model.data").write_bytes(kept[:-100])
    assert "model.onnx: " in refused(external)


@pytest.mark.parametrize("left", [0, 10, 1000, -1])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, left: int) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(graph().SerializeToString()[:left])
    assert refused(path).startswith("steps[0].load.file: model.onnx: it")


def test_a_graph_gets_the_names_that_a_build_knows() -> None:
    model = normal(graph(x="pixels", y="scores"), "logits")
    assert [one.name for one in (*model.graph.input, *model.graph.output)] == ["input", "logits"]
    onnx.checker.check_model(model, full_check=True)


def test_a_graph_whose_input_bears_the_outputs_name_keeps_both_apart() -> None:
    model = normal(graph(x="logits", y="input"), "logits")
    assert model.graph.node[0].input[0] == "input"
    assert list(model.graph.node[0].output) == ["logits"]
    onnx.checker.check_model(model, full_check=True)


def test_a_graph_of_two_outputs_is_refused() -> None:
    model = graph()
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 64]))
    with pytest.raises(RecipeError, match=r"has the outputs \['y', 'z'\], the limit is 1"):
        normal(model, "logits")


def test_a_graph_with_a_fixed_batch_is_refused() -> None:
    model = graph()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(RecipeError, match=r"'x' has a fixed batch of 1, the limit is a dynamic one"):
        normal(model, "logits")


def test_a_graph_of_an_old_opset_is_raised_to_one_that_can_be_quantized() -> None:
    model = graph()
    model.opset_import[0].version = 11
    assert normal(model, "logits").opset_import[0].version == 17
