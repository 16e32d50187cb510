"""The program on mocks, run with a stack's configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.components.programs import Object, Run, stack_in, stack_of

Program = Callable[..., Run]
MODELS: dict[str, Object] = {
    "digits": {"recipe": "models/digits/recipe.yaml", "replicas": 2},
    "mnist": {"recipe": "models/mnist/recipe.yaml"},
}


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Program:
    def run(config: Object | None = None, **options: Any) -> Run:
        return stack_of(monkeypatch, tmp_path, config or {"models": MODELS}, **options)

    return run


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return stack_in(tmp_path_factory.mktemp("data"), {"models": MODELS})


@pytest.fixture(scope="session")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A stack in AWS with pools that it scales itself or not, and a model on each."""
    from tests.components.gpus import models_on_pools, with_pools  # noqa: PLC0415 (its imports import this file)

    folder = tmp_path_factory.mktemp("pools")
    return stack_in(folder, with_pools(models=models_on_pools(folder)), stack="prod")


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Stacks in AWS with pools of one engine, or none."""
    from tests.components.gpus import OTHERS, models_on_auto, with_pools  # noqa: PLC0415 (as above)

    folder = tmp_path_factory.mktemp("others")
    models = {"auto": models_on_auto(folder)}
    configs = {name: with_pools(one, models.get(name)) for name, one in OTHERS.items()}
    return {name: stack_in(folder, one, stack="prod") for name, one in configs.items()}
