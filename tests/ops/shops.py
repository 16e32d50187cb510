"""A project whose stacks run one signed image, made without a training, and a real server that answers for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from model_build.oci.image import Draft, ImageConfig
from model_build.oci.layer import folder_contents
from model_build.oci.push import Target, push_draft
from model_build.oci.reference import Reference
from model_build.oci.referrers import attach
from model_build.oci.registry import Registry
from model_build.publish import REPORT_TYPE
from model_build.supply.attestations import Attestations
from model_build.supply.keys import PrivateKey, make_pair, private_key
from model_build.supply.subject import Subject
from ops.__main__ import main
from tests.model_server import running as servers
from tests.provider.conftest import RECIPE
from tests.provider.stacks import Project, Stack
from tests.registry import running_registry
from tests.signing import some_contents

MODEL = "tiny"
METRICS = {"accuracy": 0.98, "drop": 0.0, "size_ratio": 0.5, "latency_ms": 1.0}
PROGRAM = """
import os
import pulumi
from provider.resources import ModelImage, ModelImageArgs

config = pulumi.Config("modelstack")
place = config.require_object("registry")
models = config.require_object("models")
args = ModelImageArgs(
    recipe="tiny/recipe.yaml", base=config.require("base"), push=place["push"], repository=f"{place['prefix']}/tiny",
    signing_key=place.get("signingKey"), public_keys=place.get("publicKeys"), pin=models["tiny"].get("pin"),
)
image = ModelImage("tiny", args)
if "FAIL" in os.environ:
    pulumi.export("never", image.digest.apply(lambda digest: [][digest]))
pulumi.export("image", image.image)
pulumi.export("endpoint", {"tiny": os.environ["ENDPOINT"]})
pulumi.export("models", {"tiny": {"recipe": "tiny/recipe.yaml", **image.told}})
"""
INPUTS = np.random.default_rng(7).normal(size=(40, 4)).astype(np.float32)
LABELS = (INPUTS @ servers.WEIGHTS + servers.BIAS).argmax(1)


@dataclass(frozen=True)
class Shop:
    """The project, the registries of its stacks, the key that signs, the model's folder and where it answers."""

    project: Project
    key: PrivateKey
    base: str
    artifact: Path
    hosts: tuple[str, ...]
    url: str

    @property
    def folder(self) -> Path:
        return self.project.folder

    def push(self, host: str, prefix: str, content: str = "", report: dict[str, object] | None = None) -> Subject:
        """Push an image of the model as the recipe is now, signed, with a report, under the tag of its inputs."""
        contents = some_contents(self.folder / "tiny/recipe.yaml", self.folder)
        labels = {"content": content, "modelstack.dev/inputs": contents.inputs.hash}
        draft = Draft("linux/amd64", folder_contents(self.artifact, f"/models/{MODEL}"), ImageConfig(labels=labels))
        registry, repository = Registry(host), f"{prefix}/{MODEL}"
        digest = push_draft(draft, Target(registry, repository), [contents.inputs.tag]).digest
        subject = Subject.of(registry, Reference(host, repository, digest=digest))
        told = report or {"inputs": contents.inputs.hash, "recipe": contents.inputs.recipe, "metrics": METRICS}
        body = json.dumps(told).encode()
        attach(registry, repository, subject.descriptor, REPORT_TYPE, body, media_type=REPORT_TYPE)
        Attestations(contents, self.key).seal(subject, {REPORT_TYPE: body})
        return subject

    def stack(self, name: str, host: str, prefix: str, *, signs: bool = False) -> Stack:
        """Return a new stack with its settings, which trusts the key."""
        place = {"push": host, "prefix": prefix, "publicKeys": ["release.pub"]}
        config = {
            "modelstack:models": {MODEL: {"recipe": "tiny/recipe.yaml", "rollout": {"maxP99Seconds": 10.0}}},
            "modelstack:cluster": {"kubeconfig": "kubeconfig"},
            "modelstack:registry": {**place, "signingKey": "release.key"} if signs else place,
            "modelstack:base": self.base,
        }
        path = self.folder / f"Pulumi.{name}.yaml"
        path.write_text(yaml.safe_dump({"config": config}))
        return self.project.stack(name, ENDPOINT=self.url)

    def version(self) -> str:
        """Return the inputs hash of the recipe as it is now."""
        return some_contents(self.folder / "tiny/recipe.yaml", self.folder).inputs.hash


@contextmanager
def open_shop(folder: Path) -> Iterator[Shop]:
    """Yield a shop in `folder`, with two registries and a server that answers as the first image's version."""
    project = Project.make(folder / "project", PROGRAM)
    sources = project.folder / "tiny"
    sources.mkdir()
    (sources / "recipe.yaml").write_text(RECIPE)
    for name in ("model", "data"):
        (sources / f"{name}.py").write_text("def build(): ...\n")
    pair = make_pair(project.folder / "release", "")
    contents = some_contents(sources / "recipe.yaml", project.folder)
    models = folder / "models"
    artifact = servers.write_linear(models, MODEL)
    document = json.loads((artifact / "model.json").read_text()) | {"version": contents.inputs.hash[:12]}
    (artifact / "model.json").write_text(json.dumps(document))
    kept = folder / "artifact"
    shutil.copytree(artifact, kept)
    np.savez(project.folder / "held-out.npz", inputs=INPUTS, labels=LABELS)
    with (
        running_registry(folder / "one") as one,
        running_registry(folder / "two") as two,
        servers.running(models) as server,
    ):
        key = private_key(str(pair.private), {})
        yield Shop(project, key, str(contents.base), kept, (one, two), server.url)


@dataclass(frozen=True)
class Ops:
    """Runs `ops` in the shop as a user does."""

    shop: Shop

    def __call__(self, *arguments: str) -> int:
        return main(arguments)

    def test(self, stack: str, *further: str) -> int:
        """Run `ops test` with the shop's samples, for a second."""
        held_out = ("--held-out", f"{MODEL}=held-out.npz")
        return main(["test", stack, *held_out, "--seconds", "1", "--rate", "30", *further])


def at_home(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Ops:
    """Give this process the shop's folder and environment."""
    monkeypatch.chdir(shop.folder)
    for name, value in {**shop.project.environment, "ENDPOINT": shop.url}.items():
        monkeypatch.setenv(name, value)
    return Ops(shop)
