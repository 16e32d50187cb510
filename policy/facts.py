"""What rules go by besides resources, read from the stack's configuration."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cost.rates import rates
from policy.rule import PROD, Facts
from settings import ENVIRONMENTS, PREFIX, PolicySettings, SettingsError, environment_of

# The engine starts the pack in its own folder, and tells it no other.
PROJECT = Path(__file__).resolve().parents[1]


def read(config: Mapping[str, str], stack: str) -> Facts:
    """Return the facts of a stack; `config` is as the engine gives it: full key → text."""
    try:
        policies = PolicySettings.model_validate_json(config.get(f"{PREFIX}policies") or "{}")
    except ValidationError as error:
        # A program of this project refuses the same settings with a better word. Nothing is let off meanwhile.
        first = error.errors()[0]
        key = ".".join(("policies", *map(str, first["loc"])))
        print(f"{PREFIX}{key}: {first['msg'].lower()}; correct it, until then nothing is excepted", file=sys.stderr)
        return Facts(PROD, PolicySettings())
    return Facts(_environment(config, stack), policies, _objectives(config), _prices(policies))


def _environment(config: Mapping[str, str], stack: str) -> str:
    environment = config.get(f"{PREFIX}environment") or environment_of(stack)
    if environment in ENVIRONMENTS:
        return environment
    known = ", ".join(ENVIRONMENTS)
    print(
        f"{PREFIX}environment: {environment!r} is none of {known}; correct it, until then it is {PROD}", file=sys.stderr
    )
    return PROD


def _prices(policies: PolicySettings) -> Mapping[str, float]:
    if policies.cost is None or policies.cost.limit is None:
        return {}
    try:
        return rates(policies.cost, PROJECT).monthly
    except SettingsError as error:
        print(f"{error}; until then cost-limit counts by `prices` alone", file=sys.stderr)
        return policies.cost.prices


def _objectives(config: Mapping[str, str]) -> frozenset[str]:
    try:
        models: Any = json.loads(config.get(f"{PREFIX}models") or "{}")
    except ValueError:
        return frozenset()
    named = models.items() if isinstance(models, Mapping) else ()
    return frozenset(name for name, one in named if isinstance(one, Mapping) and one.get("slo"))
