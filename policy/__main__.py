"""Serve the pack to the engine, which runs this folder."""

import os
import sys
from pathlib import Path

# The engine starts this in the pack's folder; its modules and the settings' are found from the project's.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

try:
    from pulumi.runtime.config import get_config_env
    from pulumi_policy import PolicyPack

    from policy.pack import Pack
except ModuleNotFoundError as error:
    sys.exit(
        f"policy: {sys.executable} has no {error.name}; run `make venv`, or `pip install --no-deps -r "
        "requirements-policy.txt` in the program's environment"
    )

PolicyPack("modelstack", Pack.of(get_config_env(), os.environ.get("PULUMI_STACK", "")).policies())
