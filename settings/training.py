"""Training in the cluster: which engine runs a model's build there, on how much, and what it may read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from settings.base import Frozen, Image, Label, Quantity, Resources
from settings.exposure import ObjectName
from settings.places import RegistrySettings

Engine = Literal["job", "pytorchjob", "rayjob"]
S3 = re.compile(r"^s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/([A-Za-z0-9!_.*'()/-]+?)/?$")
Folder = Annotated[str, Field(pattern=r"^/[A-Za-z0-9._/-]*$", max_length=200)]


class TrainingSettings(Frozen):
    """How one model is trained in the cluster."""

    where: Engine = Field(description="a Job of Kubernetes, a PyTorchJob of Kubeflow, a RayJob of KubeRay")
    workers: int = Field(default=1, ge=1, le=64, description="pods that train one model together")
    gpus: int = Field(default=0, ge=0, le=1, description="of each worker; one process drives one")
    pool: Label | None = Field(default=None, description="the pool of nodes with GPUs that it runs on")
    data: str | None = Field(
        default=None, max_length=500, description="s3://BUCKET/PREFIX that the recipe's data is in"
    )
    secret: ObjectName | None = Field(default=None, description="a Secret with SIGNING_KEY, and config.json for pushes")
    resources: Resources = Resources(cpu_request="2", cpu_limit="4", memory_request="8Gi", memory_limit="16Gi")
    scratch: Quantity = Field(default="50Gi", description="of steps and data, on the node")
    seconds: int = Field(default=86_400, ge=60, le=1_209_600, description="after them it has failed")

    @property
    def bucket_and_prefix(self) -> tuple[str, str] | None:
        """The parts of `data`."""
        found = S3.fullmatch(self.data or "")
        return (found.group(1), found.group(2)) if found else None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.data is not None and self.bucket_and_prefix is None:
            raise ValueError(f"data: {self.data!r} is no prefix in a bucket; write s3://BUCKET/PREFIX")
        if self.pool is not None and not self.gpus:
            raise ValueError(f"pool: {self.pool!r} has GPUs, and gpus is 0; set gpus: 1, or remove pool")
        if self.workers > 1 and self.where == "rayjob":
            raise ValueError(
                f"workers: {self.workers}: Ray starts one build on one node; use job or pytorchjob for several workers"
            )
        return self


class TrainingsSettings(Frozen):
    """What trainings of a stack have in common."""

    image: Image | None = Field(default=None, description="the build environment, with a checkout in `folder`")
    folder: Folder = "/modelstack"
    operators: dict[Literal["pytorchjob", "rayjob"], Label] = Field(
        default={}, description="the engines that the cluster has → the namespace that each runs in"
    )


def require_place(
    trainings: Mapping[str, TrainingSettings], common: TrainingsSettings, registry: RegistrySettings | None
) -> None:
    """Raise ValueError where what is trained (model → settings) could not run, or would not count afterwards."""
    for name, one in trainings.items():
        key = f"models.{name}.training"
        if common.image is None:
            raise ValueError(f"{key}: training.image is missing; name the image of the build environment")
        if one.where != "job" and one.where not in common.operators:
            raise ValueError(
                f"{key}.where: {one.where} needs its operator; install it and set training.operators: "
                f"{{{one.where}: its namespace}}, or use job"
            )
        if registry is None or not registry.signing_key:
            raise ValueError(
                f"{key}: what is pushed counts by its signature alone; set registry.signingKey and publicKeys"
            )
        if one.secret is None:
            raise ValueError(f"{key}.secret: is missing; name a Secret of the namespace that has SIGNING_KEY")
