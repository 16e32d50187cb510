"""The program on mocks, run with a stack's configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.components.programs import Object, Run, stack_of

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
    with pytest.MonkeyPatch.context() as monkeypatch:
        return stack_of(monkeypatch, tmp_path_factory.mktemp("data"), {"models": MODELS})
