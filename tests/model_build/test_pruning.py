"""Pruning in whole builds: what is removed, what is told of it, and what is refused."""

from pathlib import Path

import pytest

from tests.model_build.builder import Builder
from tests.model_build.houses import House, open_house, ran

pytestmark = pytest.mark.build
FINETUNE = "finetune: {epochs: 2, learning_rate: 0.001}"
STRUCTURED = f"prune: {{method: structured, amount: 0.5, {FINETUNE}}}"
UNSTRUCTURED = f"prune: {{method: unstructured, amount: 0.6, {FINETUNE}}}"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, builder: Builder, shared_cache: Path) -> House:
    return open_house(tmp_path_factory.mktemp("house"), shared_cache, builder)


def test_structured_pruning_removes_channels_and_shrinks_the_model(house: House) -> None:
    code, events = house.built(STRUCTURED)
    assert code == 0, events[-1]
    told, metrics = house.report(events)["facts"]["prune"], events[-1]["metrics"]
    assert told["parameters_before"] == 85_258
    assert told["parameters"] == 21_642
    assert metrics["exported_size"] < 0.3 * metrics["source_size"]


def test_unstructured_pruning_tells_its_zeros_and_leaves_the_size_as_it_is(house: House) -> None:
    code, events = house.built(UNSTRUCTURED)
    assert code == 0, events[-1]
    told, metrics = house.report(events)["facts"]["prune"], events[-1]["metrics"]
    assert told["parameters"] == told["parameters_before"]
    assert told["sparsity"] == pytest.approx(0.6, abs=0.01)
    assert metrics["exported_size"] == metrics["source_size"]


def test_a_model_is_pruned_in_two_steps_and_the_first_is_kept_when_the_second_changes(house: House) -> None:
    code, events = house.built(STRUCTURED, UNSTRUCTURED)
    assert code == 0, events[-1]
    told = house.report(events)["facts"]
    assert told["prune-2"]["parameters_before"] == told["prune"]["parameters"]
    code, events = house.built(STRUCTURED, UNSTRUCTURED.replace("0.6", "0.3"))
    assert code == 0, events[-1]
    assert ran(events) == ["prune-2", "export", "quantize", "reference", "gates", "artifact"]


def test_pruning_that_removes_no_channel_ends_with_3_and_the_remedy(house: House) -> None:
    code, events = house.built(STRUCTURED.replace("0.5", "0.5, round_to: 128"))
    assert (code, events[-1].get("kind")) == (3, "recipe"), events[-1]
    assert "steps.prune.amount: 0.5 with round_to 128 removes no channel, the limit is one" in events[-1]["message"]


def test_curves_of_every_training_are_in_the_report(house: House) -> None:
    _, events = house.built(STRUCTURED)
    report = house.report(events)
    assert {name: len(rows) for name, rows in report["curves"].items()} == {"train": 3, "prune": 2}
