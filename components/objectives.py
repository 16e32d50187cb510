"""Objectives of models as series, so that rules and operators read what was asked for beside what is served."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from settings import ObjectiveSettings

FILE = "objectives.yml"
SERIES = {"availability": "model:slo_availability:target", "p99_seconds": "model:slo_p99_seconds:target"}


def rules(objectives: Mapping[str, ObjectiveSettings]) -> dict[str, str]:
    """Return the file of Prometheus' rules by its name: two series a model. Nothing where no model has an objective."""
    found = [
        {"record": series, "labels": {"model": model}, "expr": f"vector({getattr(one, key)})"}
        for model, one in sorted(objectives.items())
        for key, series in SERIES.items()
    ]
    if not found:
        return {}
    return {FILE: yaml.safe_dump({"groups": [{"name": "objectives", "rules": found}]}, sort_keys=False)}
