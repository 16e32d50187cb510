"""Two workers that train one model, as an engine in a cluster starts them: real processes, over loopback."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.alone import free_port
from model_build.environment import build_interpreter
from tests.model_build.houses import Events, House, open_house

pytestmark = pytest.mark.build
# Nothing in it looks at a batch as a whole, and nothing is left out at random: two workers take the steps of one.
PLAIN = """
def plain() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))


def build"""


@dataclass(frozen=True)
class Ended:
    """What a worker said, its exit code, and the cache that it had for itself."""

    code: int
    events: Events
    cache: Path

    @property
    def steps(self) -> list[str]:
        """The steps that it made, in order."""
        return [one["step"] for one in self.events if one.get("state") == "done"]

    @property
    def curves(self) -> list[dict[str, float]]:
        """A row an epoch of what it trained."""
        report = json.loads((self.cache / self.events[-1]["report"]).read_bytes())
        found: list[dict[str, float]] = report["curves"]["train"]
        return found


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("together")
    made = open_house(folder / "house", folder / "cache")
    with (
        made.changed("model.py", r"\ndef build", PLAIN),
        made.changed("recipe.yaml", r"model: model.py:build", "model: model.py:plain"),
    ):
        yield made


def trained(house: House, folder: Path, *told: dict[str, str]) -> list[Ended]:
    """Build at once in as many processes as are told who they are, each with a cache of its own."""
    command = [str(build_interpreter(print)), "-m", "model_build", "build", "--json"]
    started = []
    for number, one in enumerate(told):
        environment = {**house.variables, "MODELSTACK_CACHE": str(folder / str(number)), **one}
        process = subprocess.Popen(
            [*command, "--recipe", str(house.folder / "recipe.yaml")],
            env=environment,
            cwd=house.root,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
    said = [process.communicate(timeout=300)[0] for process in started]
    return [
        Ended(process.returncode, [json.loads(line) for line in text.splitlines()], folder / str(number))
        for number, (process, text) in enumerate(zip(started, said, strict=True))
    ]


def workers(count: int) -> list[dict[str, str]]:
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count)}
    return [{**place, "RANK": str(number)} for number in range(count)]


@pytest.fixture(scope="module")
def both(house: House, tmp_path_factory: pytest.TempPathFactory) -> list[Ended]:
    return trained(house, tmp_path_factory.mktemp("both"), *workers(2))


def test_the_first_goes_on_alone_once_the_model_is_trained(both: list[Ended]) -> None:
    first, second = both
    assert (first.code, second.code) == (0, 0), (first.events[-1:], second.events[-1:])
    assert first.steps[:2] == second.steps == ["data", "train"]
    assert "gates" in first.steps
    assert first.events[-1]["artifact"]
    assert second.events[-1]["artifact"] is None


def test_two_workers_take_the_steps_of_one(house: House, both: list[Ended], tmp_path: Path) -> None:
    (alone,) = trained(house, tmp_path, {})
    assert alone.code == 0, alone.events[-1:]
    rows: list[tuple[Any, Any]] = list(zip(alone.curves, both[0].curves, strict=True))
    for one, together in rows:
        assert together["loss"] == pytest.approx(one["loss"], rel=1e-3)
        assert together["validation_loss"] == pytest.approx(one["validation_loss"], rel=1e-3)
    assert rows[-1][0]["loss"] < 0.5 * rows[0][0]["loss"]


def test_a_worker_that_is_told_nonsense_of_the_others_trains_nothing(house: House, tmp_path: Path) -> None:
    told = {**workers(2)[1], "WORLD_SIZE": "two"}
    (refused,) = trained(house, tmp_path, told)
    assert refused.code == 7
    assert "do not say which worker this is" in refused.events[-1]["message"]
