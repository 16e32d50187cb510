"""Records the engine's events that the tests of previews read: `python -m tests.ops.record_previews POLICY_VENV`.

POLICY_VENV is an environment that has pulumi and pulumi-policy. The model is built for real, so that this takes a
minute; what differs from run to run is replaced, and what no reader looks at is left out.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.ops.recorded import CANARY, FOLDER
from tests.provider.conftest import RECIPE
from tests.provider.houses import House, open_house
from tests.provider.stacks import Stack

PROGRAM = """
import base64
import os
import pulumi
from provider.resources import ModelImage, ModelImageArgs, Password, PinnedImage, PinnedImageArgs

places = dict(base=os.environ["BASE"], push=os.environ["REGISTRY"], repository=os.environ["REPOSITORY"])
image = ModelImage("tiny", ModelImageArgs(recipe="tiny/recipe.yaml", **places))
pulumi.export("image", image.image)
pulumi.export("cost", {"monthly": float(os.environ.get("COST", "12.5")), "currency": "USD"})
if "WITHOUT_PASSWORD" not in os.environ:
    Password("password")
canary = pulumi.Config().get_secret("canary")
if canary is not None:
    PinnedImage("leaky", PinnedImageArgs(image=os.environ["BASE"], repin=canary))
    canary.apply(lambda value: pulumi.log.warn(f"leaked {value}, {base64.b64encode(value.encode()).decode()} @team"))
if "FAILING" in os.environ:
    raise pulumi.RunError("FAILING: is set to `yes`\\nby @team; unset it")
"""
PACK = """
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy

def refuse(args, report):
    if args.resource_type.endswith("ModelImage"):
        report("ask @team | first")

PolicyPack("house", policies=[
    ResourceValidationPolicy("no-models", "Models are refused.", refuse, EnforcementLevel.LEVEL),
    ResourceValidationPolicy("all-is-well", "Nothing is refused.", lambda args, report: None),
])
"""
LEFT_OUT = ("parts", "runtime", "steps", "trusts")


def main() -> None:
    """Record every scene."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policy_venv", type=Path)
    venv = parser.parse_args().policy_venv
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, open_house(Path(folder) / "house", PROGRAM) as house:
        packs = {level: _pack(Path(folder) / level.lower(), level, venv) for level in ("ADVISORY", "MANDATORY")}
        _record(house, packs)


def _record(house: House, packs: dict[str, Path]) -> None:
    house.recipe.write_text(RECIPE)
    stack = house.stack("dev", "models/tiny")
    _keep(house, "new", stack, 0, "preview")
    assert stack.run("up").code == 0
    _keep(house, "same", stack, 0, "preview")
    _keep(house, "known", house.stack("known", "models/tiny"), 0, "preview")
    _keep(house, "replaced", stack.having(REPOSITORY="other/tiny", WITHOUT_PASSWORD="1"), 0, "preview")
    _keep(house, "failing", stack.having(FAILING="1"), 1, "preview")
    for level, pack in packs.items():
        _keep(house, level.lower(), stack, int(level == "MANDATORY"), "preview", "--policy-pack", str(pack))
    house.recipe.write_text(RECIPE.replace("calibration_samples: 200", "calibration_samples: 100"))
    _keep(house, "to_build", stack.having(COST="20"), 0, "preview")
    assert house.stack("ahead", "models/tiny").run("up").code == 0
    _keep(house, "built_ahead", stack, 0, "preview")
    house.recipe.write_text(RECIPE)
    set_canary = stack.command("config", "set", "--secret", "canary", CANARY, "--stack", stack.name)
    subprocess.run(set_canary, cwd=stack.folder, env=stack.environment, check=True)
    _keep(house, "secret", stack, 0, "preview")


def _pack(folder: Path, level: str, venv: Path) -> Path:
    folder.mkdir()
    (folder / "PulumiPolicy.yaml").write_text(f"runtime: {{name: python, options: {{virtualenv: {venv.resolve()}}}}}\n")
    (folder / "__main__.py").write_text(PACK.replace("LEVEL)", f"{level})").replace("Level.LEVEL", f"Level.{level}"))
    return folder


def _keep(house: House, name: str, stack: Stack, code: int, *command: str) -> None:
    done = stack.run(*command)
    assert done.code == code, done.said
    lines = "".join(json.dumps(event, sort_keys=True, ensure_ascii=False) + "\n" for event in _stripped(done.events))
    lines = lines.replace(house.host, "127.0.0.1:7401").replace(str(house.project.folder.parents[1]), "/folder")
    (FOLDER / f"{name}.jsonl").write_text(re.sub(r'"durationSeconds": \d+', '"durationSeconds": 4', lines))
    print(name, len(lines), flush=True)


def _stripped(events: tuple[dict[str, Any], ...]) -> Iterator[dict[str, Any]]:
    for number, event in enumerate(events):
        told = event.get("diagnosticEvent", {})
        # One is kept, so that the tests see that it is not told.
        if told.get("severity") == "debug" and number > 1:
            continue
        for one in event.values():
            metadata = one.get("metadata", {}) if isinstance(one, dict) else {}
            for side in ("old", "new"):
                for kind in ("inputs", "outputs"):
                    _strip((metadata.get(side) or {}).get(kind) or {})
        yield {**event, "timestamp": 0}


def _strip(properties: dict[str, Any]) -> None:
    for key in LEFT_OUT:
        properties.pop(key, None)


if __name__ == "__main__":
    main()
