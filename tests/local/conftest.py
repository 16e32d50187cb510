"""An instance in a temporary folder, and steps that print nowhere."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from local.instance import Instance, locate
from local.steps import Steps


@pytest.fixture
def unstarted(tmp_path: Path) -> Instance:
    """An instance that nothing has been started of."""
    return locate("unit", {"MODELSTACK_DATA": str(tmp_path / "data"), "MODELSTACK_CACHE": str(tmp_path / "cache")})


@pytest.fixture
def silent() -> Steps:
    return Steps(Console(file=io.StringIO()))
