"""A preview of a stack without the credentials that it lives by: on a state of its own, with nothing that can apply.

What a fork's pull request previews. The engine and the plugins are the embedded platform's, of which nothing is
started: the planner in place of the provider of AWS sees no account, and registries are asked as anybody may.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ops.engine import AWS, Engine, EngineError, local_environment, own_settings

# By one of these the provider of AWS finds credentials, besides its files and the machine it runs on.
VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
# Where a state lies and how it is read is another's matter; what is taken from them is not looked at.
OWN = ("PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")
# Where a setting has to be a URL, this is one, of nobody.
UNKNOWN = "https://unknown.invalid"


@dataclass(frozen=True)
class Scratch:
    """A stack that exists as long as its folder."""

    engine: Engine
    config: Path
    hidden: tuple[str, ...]
    """Keys whose values are secret, which the preview does without."""

    @property
    def notice(self) -> str:
        """What a reader of the preview has to know."""
        told = "no credentials of AWS: everything shows as new, on a state that is thrown away"
        return f"{told}; secret and not known: {', '.join(self.hidden)}" if self.hidden else told


def needed(project: Path, stack: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether a stack lies in AWS and no credentials for it are in sight. Raises EngineError."""
    if own_settings(project, stack).get(AWS, "{}") == "{}":
        return False
    files = [environ.get("AWS_SHARED_CREDENTIALS_FILE"), environ.get("AWS_CONFIG_FILE")]
    home = Path(environ.get("HOME", "/"), ".aws")
    found = [Path(one) for one in files if one] or [home / "credentials", home / "config"]
    return not any(environ.get(one) for one in VARIABLES) and not any(one.is_file() for one in found)


@contextmanager
def scratch(project: Path, stack: str) -> Iterator[Scratch]:
    """Yield a stack of that name and settings without a past; it is gone afterwards. Raises EngineError."""
    with tempfile.TemporaryDirectory(prefix="modelstack-scratch-") as folder:
        place = Path(folder)
        document, hidden = without_secrets(project, stack)
        config = place / f"Pulumi.{stack}.yaml"
        config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        environment = _environment(project, place)
        named = Engine(project, stack, environment).project_name
        # The engine writes a new stack's salt beside the Pulumi.yaml that it is created by.
        (place / "Pulumi.yaml").write_text(yaml.safe_dump({"name": named, "runtime": "python"}), encoding="utf-8")
        Engine(place, stack, environment).run("stack", "init", stack, "--no-select")
        yield Scratch(Engine(project, stack, environment), config, hidden)


def without_secrets(project: Path, stack: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a stack's settings with a word in place of each secret, and the keys that hold one. Raises EngineError."""
    path = project / f"Pulumi.{stack}.yaml"
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        config = dict(given.get("config") or {})
    except (OSError, yaml.YAMLError, AttributeError) as error:
        raise EngineError(f"{path.name}: cannot be read ({' '.join(str(error).split())}); correct it") from error
    hidden = tuple(key for key, value in config.items() if _plainly(value) != value)
    return {"config": {key: _plainly(value) for key, value in config.items()}}, hidden


def _plainly(value: Any) -> Any:
    if isinstance(value, dict):
        return UNKNOWN if set(value) == {"secure"} else {key: _plainly(one) for key, one in value.items()}
    return [_plainly(one) for one in value] if isinstance(value, list) else value


def _environment(project: Path, folder: Path) -> dict[str, str]:
    own = {key: value for key, value in os.environ.items() if key not in OWN}
    found = local_environment(project, {**own, "MODELSTACK_DATA": str(folder), "PULUMI_PYTHON_CMD": sys.executable})
    # The planner lies there, also where the engine is the user's own.
    home = Path(found["PATH"].split(os.pathsep)[0]).parent
    (folder / "state").mkdir(mode=0o700)
    return {
        **found,
        "PULUMI_HOME": str(home),
        "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": secrets.token_urlsafe(32),
    }
