"""Outlier channels in fp32: the rewritten graph answers as before, and only what stands out is split."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from model_build.measure import Artifact
from model_build.optimize import outliers

WIDTH, FAR = 16, (3, 11)
INPUTS = np.random.default_rng(7).normal(size=(40, WIDTH)).astype(np.float32)
INPUTS[:, FAR] *= 50
WEIGHTS = np.random.default_rng(8).normal(size=(WIDTH, WIDTH)).astype(np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Two products that share their weights: one of the input, one of what the first gave, scaled to be even."""
    nodes = [
        helper.make_node("MatMul", ["input", "w"], ["first"], name="one"),
        helper.make_node("Tanh", ["first"], ["even"], name="tanh"),
        helper.make_node("MatMul", ["even", "w"], ["logits"], name="two"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in ("input", "logits")]
    graph = helper.make_graph(nodes, "shared", ends[:1], ends[1:], [numpy_helper.from_array(WEIGHTS, "w")])
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_a_split_product_answers_as_before_though_its_weights_are_shared(model: Path) -> None:
    before = Artifact(model).answer(INPUTS)
    assert outliers.split(model, INPUTS, 2)
    assert np.allclose(Artifact(model).answer(INPUTS), before, atol=1e-4)


def test_only_channels_that_stand_out_are_split(model: Path) -> None:
    outliers.split(model, INPUTS, 2)
    held = {one.name: numpy_helper.to_array(one) for one in onnx.load(model).graph.initializer}
    assert held["input_outliers"].tolist() == list(FAR)
    assert "even_outliers" not in held
    assert np.array_equal(held["w"], WEIGHTS)


def test_what_stays_in_fp32_is_named_and_the_rest_is_not(model: Path) -> None:
    kept = outliers.split(model, INPUTS, 2)
    assert sorted(kept) == ["input_far_in_fp32", "one_far_in_fp32"]


def test_a_model_without_outliers_stays_as_it_is(model: Path) -> None:
    assert outliers.split(model, np.ones_like(INPUTS), 2) == []
    assert [node.name for node in onnx.load(model).graph.node] == ["one", "tanh", "two"]
