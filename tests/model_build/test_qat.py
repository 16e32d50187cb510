"""Quantization-aware training in a whole build: the model learns in int8, and what is served is QDQ."""

import json
from pathlib import Path

import pytest

from tests.model_build.builder import Builder
from tests.model_build.houses import House, open_house

pytestmark = pytest.mark.build


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, builder: Builder, shared_cache: Path) -> House:
    return open_house(tmp_path_factory.mktemp("house"), shared_cache, builder)


def test_a_model_that_was_trained_in_int8_is_served_as_qdq(house: House) -> None:
    step = "  - quantize: {method: qat-int8, finetune: {epochs: 2, learning_rate: 0.001}}"
    with house.changed("recipe.yaml", r"  - quantize: .*", step):
        code, events = house.build()
    assert code == 0, events[-1]
    report = house.report(events)
    assert report["metrics"]["size_ratio"] < 0.5
    assert report["metrics"]["accuracy"] >= report["metrics"]["source_accuracy"] - 0.05
    assert [row["epoch"] for row in report["curves"]["quantize"]] == [1, 2]
    script = house.root / "kinds.py"
    script.write_text(
        "import json, onnx, sys\n"
        "graph = onnx.load(sys.argv[1]).graph\n"
        "types = sorted({one.data_type for one in graph.initializer})\n"
        "print(json.dumps([[one.op_type for one in graph.node], types]))\n"
    )
    done = house.python(script, Path(events[-1]["artifact"]) / "model.onnx")
    assert done.returncode == 0, done.stderr
    kinds, types = json.loads(done.stdout)
    assert kinds.count("QuantizeLinear") >= 4
    assert 3 in types  # int8 weights lie in the file as int8


@pytest.mark.parametrize("quantize", ["{method: qat-int8}", "{method: static-int8, finetune: {epochs: 2}}"])
def test_a_finetune_belongs_to_quantization_aware_training_alone(house: House, quantize: str) -> None:
    with house.changed("recipe.yaml", r"  - quantize: .*", f"  - quantize: {quantize}"):
        code, events = house.build()
    assert code == 3
    assert "finetune" in events[-1]["message"]
