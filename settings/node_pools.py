"""Pools of nodes with GPUs: what makes the nodes, which ones, and how pods share a GPU."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from settings.base import Frozen
from settings.gpus import count_of, family_of, profiles_of

GPU = "nvidia.com/gpu"
SHARED = f"{GPU}.shared"
# Kubernetes → the release of EKS' AMIs of Amazon Linux 2023 that was the last when this was written.
# Source: https://github.com/awslabs/amazon-eks-ami/releases/tag/v20260714
RELEASES = {"1.36": "1.36.2-20260714"}
SPELLED = {
    "al2023": (r"1\.\d+\.\d+-\d{8}", RELEASES["1.36"]),
    "bottlerocket": (r"\d+\.\d+\.\d+-[0-9a-f]{8}", "1.54.0-0123abcd"),
}
# What is asked of Bottlerocket → the first release that has it.
# Source: https://bottlerocket.dev/en/os/1.54.x/api/settings/, and those of the releases before
SINCE = {"share.by: mps": (1, 54), "share.by: mig": (1, 34), "parallelPull": (1, 44)}
OF_NODES = ("os", "release", "share", "local_disks", "parallel_pull")
ENGINES = ("managed", "karpenter", "auto")
BUILT_IN = ("system", "general-purpose")
# A node that goes waits so long for pods that nothing may evict; after it they are ended.
DRAIN_HOURS = 24
# EKS Auto Mode refuses a NodePool whose nodes live longer, what they wait for pods included: 21 days.
# Source: https://docs.aws.amazon.com/eks/latest/userguide/automode.html
LIFE_HOURS, EXPIRE_HOURS = 504, 336

InstanceType = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$")]


class ShareSettings(Frozen):
    """How several pods share a GPU; each asks for one share, which is all that a process can use."""

    by: Literal["timeSlicing", "mps", "mig"]
    replicas: int | None = Field(default=None, ge=2, le=48, description="pods that share a GPU by timeSlicing or mps")
    profile: str | None = Field(default=None, pattern=r"^[1-7]g\.[0-9]+gb$", description="of MIG, as 1g.10gb")

    @model_validator(mode="after")
    def _is_told_once(self) -> Self:
        wanted, other = ("profile", "replicas") if self.by == "mig" else ("replicas", "profile")
        if getattr(self, wanted) is None:
            raise ValueError(f"{wanted}: is missing; by: {self.by} needs it, add it")
        if getattr(self, other) is not None:
            raise ValueError(f"{other}: is not of by: {self.by}; remove it")
        return self


class GpuPoolSettings(Frozen):
    """Nodes with GPUs of one kind, from none to `max`."""

    engine: Literal["managed", "karpenter", "auto"] = "managed"
    types: tuple[InstanceType, ...] = Field(min_length=1, max_length=20)
    # What makes nodes by itself goes to zero; a group of EKS does with an autoscaler alone.
    min: int = Field(
        default_factory=lambda data: int(data.get("engine") == "managed"),
        ge=0,
        le=100,
        description="nodes that are always there; of engine managed, 1",
    )
    max: int = Field(default=4, ge=1, le=1000, description="nodes")
    capacity: Literal["onDemand", "spot", "spotFirst"] = "onDemand"
    reservation: str | None = Field(default=None, pattern=r"^cr-[0-9a-f]{8,17}$", description="on-demand capacity")
    disk: int = Field(default=200, ge=50, le=16000, description="GiB")
    idle_seconds: int = Field(default=300, ge=30, le=86400, description="a node without pods goes; not of managed")
    expire_hours: int | None = Field(
        default=None, ge=24, le=8760, description="a node is replaced after it; not managed"
    )
    os: Literal["al2023", "bottlerocket"] = "al2023"
    release: str | None = Field(default=None, max_length=40, description="of the AMI, as 1.36.2-20260714")
    share: ShareSettings | None = None
    local_disks: bool = Field(default=False, description="images and pods lie on the instance's own disks, as RAID 0")
    parallel_pull: bool = Field(default=False, description="layers are fetched and unpacked side by side (SOCI)")

    @property
    def gpus(self) -> int:
        """The GPUs of a node."""
        return count_of(self.types[0])

    @property
    def most(self) -> int:
        """The most GPUs that a pod can have."""
        return 1 if self.share else self.gpus

    @property
    def shares(self) -> int:
        """The pods that share a GPU."""
        if self.share is None:
            return 1
        return self.share.replicas or profiles_of(self.types[0])[self.share.profile or ""]

    @property
    def offered(self) -> int:
        """What a node offers, in units of `resource`."""
        return self.gpus * self.shares

    @property
    def resource(self) -> str:
        """What a pod asks for."""
        return SHARED if self.share and self.share.by != "mig" else GPU

    @property
    def expires(self) -> str:
        """How long a node lives, as Karpenter says it; with a pinned AMI a new node would be as old as the last."""
        hours = self.expire_hours or (EXPIRE_HOURS if self.engine == "auto" else None)
        return f"{hours}h" if hours else "Never"

    @property
    def spot(self) -> bool:
        """Whether a node may be taken away."""
        return self.capacity != "onDemand"

    @model_validator(mode="after")
    def _has_gpus(self) -> Self:
        without = [one for one in self.types if family_of(one) is None]
        if without:
            raise ValueError(
                f"types: {without[0]!r} is no instance type with NVIDIA GPUs that is known here (settings/gpus.py); "
                "correct it, as g5.xlarge"
            )
        counts = {count_of(one) for one in self.types}
        if len(counts) > 1:
            told = " and ".join(map(str, sorted(counts)))
            raise ValueError(f"types: have {told} GPUs, one pool counts its nodes by them; make a pool of each")
        if self.min > self.max:
            raise ValueError(f"max: {self.max} is below min {self.min}; raise it")
        return self

    @model_validator(mode="after")
    def _fits_its_engine(self) -> Self:
        if self.engine != "managed" and self.min:
            raise ValueError(f"min: {self.min} is of engine: managed, {self.engine} goes to zero; remove it")
        if self.engine == "managed" and "idle_seconds" in self.model_fields_set:
            raise ValueError("idleSeconds: is not of engine: managed, whose autoscaler says when; remove it")
        if self.engine == "managed" and self.expire_hours:
            raise ValueError("expireHours: is not of engine: managed, whose nodes stay; remove it")
        if self.engine == "auto" and (self.expire_hours or 0) + DRAIN_HOURS > LIFE_HOURS:
            raise ValueError(
                f"expireHours: {self.expire_hours} and {DRAIN_HOURS} for the last pods are above the {LIFE_HOURS} of "
                f"EKS Auto Mode; take {LIFE_HOURS - DRAIN_HOURS} at most"
            )
        if self.engine == "auto":
            named = [one for one in OF_NODES if one in self.model_fields_set]
            if named:
                key = type(self).model_fields[named[0]].alias or named[0]
                raise ValueError(f"{key}: AWS chooses it with engine: auto; remove it, or use managed or karpenter")
        if self.reservation and self.engine == "managed":
            # A group would start nothing outside it, and only where the group lies in its zone alone.
            raise ValueError("reservation: is not of engine: managed; use karpenter, which takes on-demand beside it")
        if self.reservation and self.spot:
            raise ValueError(f"reservation: is of on-demand nodes, capacity is {self.capacity}; remove one of the two")
        return self

    @model_validator(mode="after")
    def _can_share(self) -> Self:
        if self.share is None or self.share.by == "timeSlicing":
            return self
        by = self.share.by
        if self.os != "bottlerocket":
            raise ValueError(f"share.by: {by} is set up by os: bottlerocket as it boots, not by {self.os}; set os")
        if by == "mig" and self.engine == "karpenter":
            raise ValueError("share.by: mig, Karpenter counts a node's GPUs and not their parts; use engine: managed")
        if by == "mig":
            self._require_profile(self.share.profile or "")
        return self

    def _require_profile(self, profile: str) -> None:
        known = {one: profiles_of(one) for one in self.types}
        whole = [one for one, profiles in known.items() if not profiles]
        if whole:
            raise ValueError(f"share.by: mig, {whole[0]} has no GPU that this is known of; use p4d, p4de, p5 or p5e")
        without = [one for one, profiles in known.items() if profile not in profiles]
        if without:
            raise ValueError(
                f"share.profile: {profile!r} is none of {without[0]}, which has {', '.join(known[without[0]])}; use one"
            )
        parts = {profiles[profile] for profiles in known.values()}
        if len(parts) > 1:
            told = " and ".join(map(str, sorted(parts)))
            raise ValueError(f"share.profile: {profile!r} makes {told} parts of the types' GPUs; make a pool of each")

    @model_validator(mode="after")
    def _names_a_release(self) -> Self:
        pattern, example = SPELLED[self.os]
        if self.release and not re.fullmatch(pattern, self.release):
            raise ValueError(f"release: {self.release!r} is none of os: {self.os}; write it as {example}")
        return self

    @model_validator(mode="after")
    def _release_is_new_enough(self) -> Self:
        if self.os != "bottlerocket" or self.release is None:
            return self
        asked = {f"share.by: {self.share.by}" if self.share else "", "parallelPull" if self.parallel_pull else ""}
        major, minor, *_ = self.release.split(".")
        for what, since in SINCE.items():
            if what in asked and (int(major), int(minor)) < since:
                least = ".".join(map(str, since))
                raise ValueError(
                    f"release: {self.release!r} is before {least}, the first with {what}; name a later one"
                )
        return self


def resolved(pool: GpuPoolSettings, version: str) -> GpuPoolSettings:
    """Return the pool with its release, which is known of Amazon Linux 2023 and the newest Kubernetes alone.

    Raises ValueError, one line that begins with the key.
    """
    if pool.engine == "auto":
        return pool
    if pool.os == "bottlerocket":
        if pool.release is None:
            raise ValueError(
                "release: is missing; name that of bottlerocket, as `aws ssm get-parameter --name "
                f"/aws/service/bottlerocket/aws-k8s-{version}-nvidia/x86_64/latest/image_version` tells it"
            )
        return pool
    release = pool.release or RELEASES.get(version)
    if release is None:
        raise ValueError(
            f"release: is missing, none is known of Kubernetes {version}; name one of "
            "https://github.com/awslabs/amazon-eks-ami/releases"
        )
    if not release.startswith(f"{version}."):
        raise ValueError(f"release: {release!r} is not of Kubernetes {version}, which aws.version names; change one")
    return pool.model_copy(update={"release": release})
