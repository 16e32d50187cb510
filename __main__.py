"""The stack from top to bottom: where it runs, its images, what serves them, stands before them, watches them."""

from pathlib import Path

import pulumi
from pulumi.runtime.config import get_config_env

import settings
from components import place
from components.cluster import Cluster, ClusterArgs
from components.gateway import Gateway, GatewayArgs
from components.inference_service import InferenceService, InferenceServiceArgs
from components.monitoring import Monitoring, MonitoringArgs
from components.registry import Registry
from components.rollouts import RolloutsController, RolloutsControllerArgs
from provider.cluster_resources import Access
from provider.resources import ModelImage

PROJECT = Path(__file__).resolve().parent
stack = pulumi.get_stack()

pulumi.require_pulumi_version(">=3.259.0 <4.0.0")
try:
    chosen = settings.load(get_config_env(), PROJECT, stack)
    here = place.find(chosen)
except settings.SettingsError as error:
    raise pulumi.RunError(str(error)) from None

cluster = Cluster(
    "cluster",
    ClusterArgs(
        kubeconfig=here.kubeconfig,
        context=here.context,
        namespace=chosen.namespace or f"{pulumi.get_project()}-{stack}",
        stack=stack,
    ),
)
access = Access(kubeconfig=here.kubeconfig, context=here.context)
in_cluster = pulumi.ResourceOptions(providers=[cluster.provider])
registry = Registry("registry", here.registry)
base = registry.by_digest("base", here.base)

images = {
    name: ModelImage(name, registry.model_image(name, model.recipe, base, model.base))
    for name, model in chosen.models.items()
}
controller: list[pulumi.Resource] = []
if chosen.needs_controller:
    rolling_out = RolloutsControllerArgs(
        image=registry.by_digest("rollouts", here.images["rollouts"]),
        definitions=here.definitions,
        namespace=cluster.namespace,
        stack=stack,
        access=access,
    )
    controller.append(RolloutsController("rollouts", rolling_out, in_cluster).ready)

services = {
    name: InferenceService(
        name,
        InferenceServiceArgs(
            image=images[name].image,
            runtime_image=images[name].runtime_image,
            runtime=images[name].runtime,
            inputs_hash=images[name].inputs_hash,
            namespace=cluster.namespace,
            stack=stack,
            model=model,
            exposure=here.exposure,
            access=access,
            controller=controller,
            own_server=settings.server_of(PROJECT / model.recipe) == settings.OWN_SERVER,
            inside=chosen.gateway.enabled,
        ),
        in_cluster,
    )
    for name, model in chosen.models.items()
}

gateway = None
if chosen.gateway.enabled:
    entry = GatewayArgs(
        image=registry.by_digest("haproxy", here.images["haproxy"]),
        namespace=cluster.namespace,
        stack=stack,
        models={name: {"stable": service.served} for name, service in services.items()},
        settings=chosen.gateway,
        exposure=here.exposure,
        after=list(services.values()),
    )
    gateway = Gateway("gateway", entry, in_cluster)

if chosen.monitoring.enabled:
    watched = MonitoringArgs(
        image=registry.by_digest("prometheus", here.images["prometheus"]),
        namespace=cluster.namespace,
        stack=stack,
        servers={name: service.scraped for name, service in services.items()},
        settings=chosen.monitoring,
        exposure=here.exposure,
        others={"gateway": gateway.scraped} if gateway else {},
    )
    pulumi.export("prometheus", Monitoring("monitoring", watched, in_cluster).url)

pulumi.export("namespace", cluster.namespace)
pulumi.export("endpoint", {name: (gateway or service).url for name, service in services.items()})
pulumi.export("models", {name: {"recipe": chosen.models[name].recipe, **one.told} for name, one in images.items()})
