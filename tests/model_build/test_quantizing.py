"""Every method of the quantize step in whole builds."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.model_build.builder import Builder
from tests.model_build.houses import Events, House, open_house

pytestmark = pytest.mark.build


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, builder: Builder, shared_cache: Path) -> House:
    return open_house(tmp_path_factory.mktemp("house"), shared_cache, builder)


def built(house: House, quantize: str) -> tuple[int, Events]:
    with (
        house.changed("recipe.yaml", r"  - quantize: .*", f"  - quantize: {quantize}"),
        house.changed("recipe.yaml", r"max_size_ratio: [\d.]+", "max_size_ratio: 0.6"),
    ):
        return house.build()


def passed(house: House, quantize: str) -> tuple[Path, dict[str, Any]]:
    """Build; returns the artifact's folder and the report."""
    code, events = built(house, quantize)
    assert code == 0, events[-1]
    return Path(events[-1]["artifact"]), house.report(events)


def operators(house: House, artifact: Path) -> set[str]:
    script = house.root / "operators.py"
    script.write_text("import onnx, sys\nprint(*{one.op_type for one in onnx.load(sys.argv[1]).graph.node})")
    done = house.python(script, artifact / "model.onnx")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("calibration", ["minmax", "entropy", "percentile"])
def test_static_int8_has_quantized_convolutions_by_each_calibration(house: House, calibration: str) -> None:
    artifact, report = passed(house, f"{{method: static-int8, calibration: {calibration}, calibration_samples: 64}}")
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators(house, artifact)
    assert report["metrics"]["size_ratio"] < 0.4


def test_dynamic_int8_multiplies_integers(house: House) -> None:
    artifact, _ = passed(house, "{method: dynamic-int8}")
    assert "DynamicQuantizeLinear" in operators(house, artifact)


def test_float16_halves_the_file_and_keeps_its_inputs(house: House) -> None:
    artifact, report = passed(house, "{method: float16}")
    assert report["metrics"]["size_ratio"] == pytest.approx(0.5, abs=0.05)
    contract = json.loads((artifact / "model.json").read_bytes())
    assert contract["inputs"][0]["datatype"] == "FP32"


@pytest.mark.parametrize("instructions", ["avx512-vnni", "arm64"])
def test_other_instructions_give_another_model(house: House, instructions: str) -> None:
    plain, _ = passed(house, "{method: static-int8}")
    other, report = passed(house, f"{{method: static-int8, instructions: {instructions}}}")
    assert (plain / "model.onnx").read_bytes() != (other / "model.onnx").read_bytes()
    assert report["metrics"]["instructions"]


def test_the_cost_of_every_node_is_told_the_largest_first(house: House) -> None:
    _, report = passed(house, "{method: static-int8}")
    costs = report["sensitivity"]["quantize"]
    assert {one["kind"] for one in costs} == {"Conv", "Gemm"}
    assert [one["distance"] for one in costs] == sorted((one["distance"] for one in costs), reverse=True)
    assert all(0 < one["weight_error"] < 0.05 for one in costs)


def test_the_costliest_nodes_stay_in_fp32_until_the_drop_is_small_enough(house: House) -> None:
    _, report = passed(house, "{method: static-int8, keep_fp32: {max_drop: 0.0, max_nodes: 2}}")
    told = report["facts"]["quantize"]
    costs = report["sensitivity"]["quantize"]
    assert told["kept_fp32"] == [one["node"] for one in costs[: len(told["kept_fp32"])]]
    assert told["validation_drop"] <= 0 or len(told["kept_fp32"]) == 2


def test_more_calibration_samples_than_training_has_end_with_3(house: House) -> None:
    code, events = built(house, "{method: static-int8, calibration_samples: 99999}")
    assert (code, events[-1].get("kind")) == (3, "recipe"), events[-1]
    assert "99999 is above the limit of 1258 training samples" in events[-1]["message"]
