"""The policies that judge a project's stacks: the pack in its folder `policy/` (docs/policies.md)."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from ops.engine import EngineError

FOLDER = "policy"
LIBRARY = "pulumi_policy"


def packs(project: Path) -> list[str]:
    """Return the engine's option that has the project's policies judge `preview` or `up`; nothing where it has none.

    Raises EngineError where this interpreter, which runs the pack too, lacks what it is written with.
    """
    if not (project / FOLDER / "PulumiPolicy.yaml").is_file():
        return []
    if find_spec(LIBRARY) is None:
        remedy = "run `make venv`, or `pip install --no-deps -r requirements-policy.txt`"
        raise EngineError(f"{FOLDER}: {sys.executable} has no {LIBRARY}, which policies are written with; {remedy}")
    return ["--policy-pack", FOLDER]
