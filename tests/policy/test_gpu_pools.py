"""The example of docs/gpu-pools.md: the program takes it, and every policy lets what it makes for GPUs pass."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from policy.protection import STATEFUL
from tests.components.gpus import kinds, recipe_of
from tests.components.programs import PROJECT, Object, Run, stack_in
from tests.components.test_serving import NAMED
from tests.policy.judging import Judges
from tests.policy.test_program import given

KEYS = {"publicKeys": ["keys/release.pub"]}
SLO = {"availability": 0.999, "p99Seconds": 0.5}


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Object:
    """What the example says, with recipes that are there, and what prod asks of models besides."""
    page = (PROJECT / "docs" / "gpu-pools.md").read_text()
    block = re.search(r"```yaml\n(config:.*?)```", page, re.DOTALL)
    assert block is not None
    config = {key.removeprefix("modelstack:"): one for key, one in yaml.safe_load(block[1])["config"].items()}
    folder = tmp_path_factory.mktemp("example")
    models = {name: {**one, "recipe": _recipe(folder, name), "slo": SLO} for name, one in config["models"].items()}
    return {**config, "models": models, "registry": KEYS}


def _recipe(folder: Path, name: str) -> str:
    return recipe_of(folder, name, NAMED["onnxruntime-gpu"])


@pytest.fixture(scope="module")
def made(example: Object, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return stack_in(tmp_path_factory.mktemp("data"), example, stack="prod")


def judged(config: Object, made: Run) -> dict[str, list[str]]:
    # What holds data is protected by options, which mocks do not tell.
    return Judges(config, "prod").all_of(*(one for one in given(made) if one.type not in STATEFUL))


def test_the_example_makes_its_pools_and_puts_its_models_there(example: Object, made: Run) -> None:
    assert set(kinds(made, "NodePool")) == {"l4"}
    assert "shared-on-demand" in made.of("NodeGroup")
    rollouts = kinds(made, "Rollout")
    pools = {name: one["spec"]["template"]["spec"]["nodeSelector"] for name, one in rollouts.items()}
    assert pools == {name: {"modelstack.dev/gpu-pool": one["gpuPool"]} for name, one in example["models"].items()}


def test_it_keeps_every_policy_with_the_exceptions_that_it_names_and_needs_each(example: Object, made: Run) -> None:
    assert judged(example, made) == {}


def test_without_them_what_mounts_folders_of_the_kubelet_is_told(example: Object, made: Run) -> None:
    told: dict[str, Any] = judged({key: one for key, one in example.items() if key != "policies"}, made)
    assert set(told) == {"pod-security-restricted", "probes"}
    assert all("DaemonSet" in message for messages in told.values() for message in messages)


def test_spot_is_asked_for_outside_prod_of_nodes_with_gpus_too(example: Object, made: Run) -> None:
    told = Judges(example, "staging").judge("spot-outside-prod", *given(made))
    assert any("shared-on-demand: capacityType: 'ON_DEMAND'" in message for message in told)
    assert not any("NodePool l4" in message for message in told)
