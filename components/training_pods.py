"""The pods that build one model, whatever engine brings them up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.labels import OWN, Labels
from components.pods import container_security, pod_security, quantities
from components.runtime import GPU, SHM, TMP, resources
from settings import Resources, TrainingSettings

GPU_POOL = f"{OWN}/gpu-pool"
CACHE, LOGIN = "/cache", "/login"
CONFIG = "config.json"
SIGNING = ("SIGNING_KEY", "COSIGN_PASSWORD")
MOUNTS: tuple[k8s.core.v1.VolumeMountArgsDict, ...] = (
    {"name": "tmp", "mount_path": TMP},
    {"name": "cache", "mount_path": CACHE},
    {"name": "shm", "mount_path": SHM},
)


@dataclass(frozen=True, kw_only=True)
class TrainingPods:
    """What pods of a training have in common; `build` are the arguments of `python -m model_build`."""

    labels: Labels
    image: pulumi.Input[str]
    folder: str
    account: str
    build: Sequence[pulumi.Input[str]]
    settings: TrainingSettings
    told: Sequence[k8s.core.v1.EnvVarArgsDict] = ()
    """What an engine leaves to be told who a worker is."""

    @property
    def command(self) -> list[pulumi.Input[str]]:
        """What a worker runs, in the checkout."""
        return [f"{self.folder}/.venv-build/bin/python", "-P", "-m", "model_build", *self.build, "--json"]

    @property
    def environment(self) -> list[k8s.core.v1.EnvVarArgsDict]:
        """What a build reads of its environment; the process that runs the model's code sees neither key nor login."""
        return [*self.plain_environment, *(self._secret(name) for name in SIGNING), *self.told]

    @property
    def plain_environment(self) -> list[k8s.core.v1.EnvVarArgsDict]:
        """The part of it that is no secret."""
        told = {
            "DOCKER_CONFIG": LOGIN,
            "HOME": TMP,
            "MODELSTACK_CACHE": CACHE,
            "MODELSTACK_DEVICE": "cuda" if self.settings.gpus else "cpu",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": self.folder,
        }
        return [{"name": name, "value": value} for name, value in told.items()]

    def _secret(self, name: str) -> k8s.core.v1.EnvVarArgsDict:
        chosen: k8s.core.v1.SecretKeySelectorArgsDict = {"name": self.settings.secret, "key": name}
        if name != SIGNING[0]:
            chosen["optional"] = True
        return {"name": name, "value_from": {"secret_key_ref": chosen}}

    def building(self, name: str, command: Sequence[pulumi.Input[str]] | None) -> k8s.core.v1.PodSpecArgsDict:
        """Return the pod that builds, in a container of that name."""
        container: k8s.core.v1.ContainerArgsDict = {
            **self._container(name),
            "env": self.environment,
            "resources": resources({"gpus": self.settings.gpus}, self.settings.resources),
            "volume_mounts": [*MOUNTS, {"name": "login", "mount_path": LOGIN, "read_only": True}],
        }
        if command is not None:
            container["command"] = list(command)
        found: k8s.core.v1.PodSpecArgsDict = {
            **self._spec(container),
            "service_account_name": self.account,
            "volumes": [*self._volumes, self._login],
        }
        if self.settings.gpus:
            found["tolerations"] = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]
        if self.settings.pool:
            found["node_selector"] = {GPU_POOL: self.settings.pool}
        return found

    def beside(self, name: str, given: Resources, ports: Mapping[str, int]) -> k8s.core.v1.PodSpecArgsDict:
        """Return a pod that an engine needs besides: it has neither key, login and role, nor GPUs."""
        container: k8s.core.v1.ContainerArgsDict = {
            **self._container(name),
            "env": self.plain_environment,
            "resources": quantities(given),
            "volume_mounts": list(MOUNTS),
        }
        if ports:
            container["ports"] = [{"name": one, "container_port": port} for one, port in ports.items()]
        return {**self._spec(container), "volumes": self._volumes}

    def _container(self, name: str) -> k8s.core.v1.ContainerArgsDict:
        return {
            "name": name,
            "image": self.image,
            "working_dir": self.folder,
            "security_context": container_security(),
            # What it says last is the reason of a failure.
            "termination_message_policy": "FallbackToLogsOnError",
        }

    def _spec(self, container: k8s.core.v1.ContainerArgsDict) -> k8s.core.v1.PodSpecArgsDict:
        return {
            "automount_service_account_token": False,
            "enable_service_links": False,
            "security_context": pod_security(),
            "containers": [container],
        }

    @property
    def _volumes(self) -> list[k8s.core.v1.VolumeArgsDict]:
        return [
            {"name": "tmp", "empty_dir": {"size_limit": "8Gi"}},
            {"name": "cache", "empty_dir": {"size_limit": self.settings.scratch}},
            # Counts as the pod's memory.
            {"name": "shm", "empty_dir": {"medium": "Memory", "size_limit": "2Gi"}},
        ]

    @property
    def _login(self) -> k8s.core.v1.VolumeArgsDict:
        secret: k8s.core.v1.SecretVolumeSourceArgsDict = {
            "secret_name": self.settings.secret,
            "items": [{"key": CONFIG, "path": CONFIG}],
            # Where a registry takes the pod's own role, as ECR does, there is none.
            "optional": True,
        }
        return {"name": "login", "secret": secret}
