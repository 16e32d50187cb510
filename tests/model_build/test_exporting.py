"""Every kind of network through a whole build: exported, in agreement with torch at each batch and length, served."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.model_build.builder import Builder
from tests.model_build.houses import House, open_house

pytestmark = pytest.mark.build
RECIPE = """\
version: 1
name: nets
model: model.py:{net}
data: data.py:{data}
sources: [{{client: installed, package: scikit-learn}}]
seed: 7
steps:
  - train: {{epochs: {epochs}, learning_rate: 0.003}}
  - export: {{dynamic_axes: {axes}}}
  - quantize: {{method: {method}}}
gates: {{min_accuracy: 0.5, max_drop: 0.1, max_size_ratio: 0.8, parity: {{atol: 1.0e-4, batches: [1, 2, 7]}}}}
"""
LENGTHS = {"batch-1-axis-1-length-4", "batch-2-axis-1-length-4", "batch-7-axis-1-length-4"}
BATCHES = {"batch-1", "batch-2", "batch-7"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, builder: Builder) -> House:
    made = open_house(tmp_path_factory.mktemp("house"), tmp_path_factory.mktemp("cache"), builder)
    shutil.copytree(Path(__file__).with_name("nets"), made.root / "models" / "nets")
    return made


@pytest.mark.parametrize(
    ("net", "data", "axes", "rest"),
    [
        ("resnet", "pictures", [], {"method": "static-int8", "epochs": 4}),
        ("vgg", "pictures", [], {"method": "static-int8", "epochs": 4}),
        ("lstm", "sequences", [1], {"method": "dynamic-int8", "epochs": 12}),
        ("transformer", "sequences", [1], {"method": "dynamic-int8", "epochs": 6}),
    ],
)
def test_a_network_agrees_with_torch_at_every_batch_and_length(
    house: House, net: str, data: str, axes: list[int], rest: dict[str, Any]
) -> None:
    text = RECIPE.format(net=net, data=data, axes=axes, **rest)
    code, events = house.of("nets", text).build()
    assert code == 0, events[-1]
    metrics = events[-1]["metrics"]
    assert set(metrics["parity"]) == BATCHES | (LENGTHS if axes else set())
    assert max(metrics["parity"].values()) < 1e-4
    assert metrics["accuracy"] > 0.5


def test_a_length_that_the_export_fixes_is_refused(house: House) -> None:
    code, events = house.of(
        "nets", RECIPE.format(net="fixed", data="sequences", axes=[1], method="dynamic-int8", epochs=1)
    ).build()
    assert code == 3, events[-1]
    assert "steps.export.dynamic_axes: the model cannot answer batch-1-axis-1-length-4" in events[-1]["message"]
