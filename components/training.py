"""Training: the build of a model as pods of the cluster, by the engine that the settings choose.

Fields: kubernetes.io, Job (batch/v1); kubeflow/training-operator 1.9, PyTorchJob (kubeflow.org/v1); ray-project/kuberay
1.5, RayJob (ray.io/v1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pulumi
import pulumi_kubernetes as k8s

from components import network
from components.engines import ENGINES, MASTER_PORT, RAY_DASHBOARD, Work
from components.labels import Labels
from components.registry import Registry, RegistryArgs
from components.service import MANAGED
from components.site import Site
from components.training_pods import TrainingPods
from provider.resources import ModelImageArgs
from settings import Settings, TrainingSettings

HTTPS = 443
# What EKS Pod Identity's agent listens on, on each node.
IDENTITY = ("169.254.170.23/32", 80)


@dataclass(frozen=True, kw_only=True)
class TrainingArgs:
    """What is built, from which checkout, and where it is pushed."""

    image: pulumi.Input[str]
    """The build environment with a checkout, by digest."""
    folder: str
    """Where the checkout lies in it."""
    recipe: str
    """Below the checkout."""
    destination: str
    """HOST[:PORT]/REPOSITORY."""
    base: pulumi.Input[str]
    """The base image of the model, by digest."""
    inputs_hash: pulumi.Input[str]
    """64 hex digits; where they change the model is trained again."""
    site: Site
    settings: TrainingSettings
    operators: Mapping[Literal["pytorchjob", "rayjob"], str]
    """Engine → the namespace that its operator runs in."""


class Training(pulumi.ComponentResource):
    """One build of one model: restricted pods without a token, which reach each other, HTTPS and names."""

    done: pulumi.Resource
    """Is there once the build has pushed its image."""

    def __init__(self, name: str, args: TrainingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:components:Training", name, None, opts)
        self._args = args
        self._labels = Labels(name, args.site.stack)
        self._own = pulumi.ResourceOptions(parent=self)
        account = k8s.core.v1.ServiceAccount(
            name, metadata=self._metadata(name), automount_service_account_token=False, opts=self._own
        )
        found: list[pulumi.Resource] = [account]
        if args.settings.workers > 1 and args.settings.where == "job":
            found.append(self._create_service(name))
        self._create_network_policy()
        after = pulumi.ResourceOptions(parent=self, depends_on=found, custom_timeouts=self._timeouts())
        self.done = ENGINES[args.settings.where](self._work(name), after)
        self.register_outputs({})

    def _work(self, name: str) -> Work:
        args = self._args
        pods = TrainingPods(
            labels=self._labels,
            image=args.image,
            folder=args.folder,
            account=name,
            build=self._build(),
            settings=args.settings,
        )
        # Another name is another object: an engine runs one to its end once.
        marked = pulumi.Output.from_input(args.inputs_hash).apply(lambda text: f"{name[:36]}-{text[:8]}")
        return Work(name=name, marked=marked, pods=pods, namespace=args.site.namespace, inputs_hash=args.inputs_hash)

    def _build(self) -> list[pulumi.Input[str]]:
        args = self._args
        pushing = ("--push", args.destination, "--base", args.base, "--key", "env://SIGNING_KEY")
        return ["build", "--recipe", args.recipe, *pushing]

    def _timeouts(self) -> pulumi.CustomTimeouts:
        # The engine ends what takes longer, and says so; a pod that waits for a node comes on top.
        allowed = f"{self._args.settings.seconds + 1800}s"
        return pulumi.CustomTimeouts(create=allowed, update=allowed)

    def _metadata(self, name: str) -> k8s.meta.v1.ObjectMetaArgsDict:
        return {"name": name, "namespace": self._args.site.namespace, "labels": self._labels.metadata}

    def _create_service(self, name: str) -> k8s.core.v1.Service:
        """Make what gives each worker of a Job a name; the first is asked before it is ready."""
        return k8s.core.v1.Service(
            name,
            # No pod of it is there yet.
            metadata={**self._metadata(name), "annotations": MANAGED},
            spec={
                "cluster_ip": "None",
                "publish_not_ready_addresses": True,
                "selector": self._labels.selector,
                "ports": [{"name": "master", "port": MASTER_PORT}],
            },
            opts=self._own,
        )

    def _create_network_policy(self) -> None:
        args, others = self._args, network.pods(self._labels)
        registry = args.destination.partition("/")[0].rpartition(":")[2]
        ports = sorted({HTTPS, *([int(registry)] if registry.isdigit() else ())})
        ingress: list[network.Ingress] = []
        egress: list[network.Egress] = [
            network.names(),
            {
                "to": [{"ip_block": {"cidr": "0.0.0.0/0"}}],
                "ports": [{"port": port, "protocol": "TCP"} for port in ports],
            },
        ]
        if args.settings.data:
            where, port = IDENTITY
            egress.append({"to": [{"ip_block": {"cidr": where}}], "ports": [{"port": port, "protocol": "TCP"}]})
        if args.settings.workers > 1 or args.settings.where == "rayjob":
            # Gloo, NCCL and Ray choose ports as they go.
            ingress.append({"from_": others})
            egress.append({"to": others})
        if args.settings.where == "rayjob":
            operator: k8s.meta.v1.LabelSelectorArgsDict = {
                "match_labels": {network.NAMESPACE: args.operators["rayjob"]}
            }
            ingress.append({"from_": [{"namespace_selector": operator}], "ports": network.tcp(RAY_DASHBOARD)})
        network.allow(self._labels, args.site, self._own, ingress=ingress, egress=egress)


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """What the trainings of a stack have in common."""

    project: Path
    settings: Settings
    site: Site
    registry: Registry
    pushed: RegistryArgs

    def train(self, images: Mapping[str, ModelImageArgs], opts: pulumi.ResourceOptions) -> dict[str, pulumi.Resource]:
        """Return model → what is there once it was trained, of the models that are trained in the cluster."""
        common, chosen = self.settings.training, self.settings.trained
        if not chosen or common.image is None:
            return {}
        image = self.registry.by_digest("training", common.image)
        return {
            model: Training(
                f"{model}-train",
                TrainingArgs(
                    image=image,
                    folder=common.folder,
                    recipe=self.settings.models[model].recipe,
                    destination=f"{self.pushed.push}/{self.pushed.repository(model)}",
                    base=images[model].base,
                    inputs_hash=self._inputs(images[model]),
                    site=self.site,
                    settings=settings,
                    operators=common.operators,
                ),
                opts,
            ).done
            for model, settings in chosen.items()
        }

    def _inputs(self, image: ModelImageArgs) -> pulumi.Output[str]:
        # Half a second, which no stack without a training need spend.
        from model_build import inputs  # noqa: PLC0415

        recipe, base = pulumi.Output.from_input(image.recipe), pulumi.Output.from_input(image.base)
        return pulumi.Output.all(recipe, base).apply(
            lambda found: inputs.compute(self.project / found[0], found[1]).hash
        )
