"""Who may import what: what counts reads settings alone."""

from __future__ import annotations

from pathlib import Path

import cost
from tests.model_build.test_imports import imported

ROOMS = {"components", "local", "model_build", "model_server", "ops", "policy", "provider", "pulumi"}


def test_what_counts_reads_settings_alone() -> None:
    sources = sorted(Path(cost.__file__).parent.glob("*.py"))
    assert "settings" in {name for path in sources for name in imported(path)}
    assert {path.name: found for path in sources if (found := ROOMS & set(imported(path)))} == {}
