"""The stack from top to bottom: where it runs, its images, what serves them, leads to them, watches them."""

from pathlib import Path

import pulumi
from pulumi.runtime.config import get_config_env, get_config_secret_keys_env

import settings
from components import place
from components.cache import Cache, CacheArgs
from components.charts import Charts, ChartsArgs
from components.cluster import Cluster, ClusterArgs
from components.entry import Entry, EntryArgs
from components.gateway import Gateway, GatewayArgs
from components.inference_service import InferenceService, InferenceServiceArgs
from components.monitoring import Monitoring, MonitoringArgs
from components.registry import Registry
from components.rollouts import RolloutsController, RolloutsControllerArgs
from components.site import Site
from provider.cluster_resources import Access
from provider.resources import ModelImage

PROJECT = Path(__file__).resolve().parent
stack = pulumi.get_stack()

pulumi.require_pulumi_version(">=3.259.0 <4.0.0")
try:
    chosen = settings.load(get_config_env(), PROJECT, stack, get_config_secret_keys_env())
    ledger = None
    if chosen.policies.cost:
        # What it imports takes time that no other stack need spend.
        from components.ledger import Ledger

        ledger = Ledger.of(chosen.policies.cost, chosen, PROJECT)
        ledger.watch()
    here = place.find(chosen)
except settings.SettingsError as error:
    raise pulumi.RunError(str(error)) from None

namespace = chosen.namespace or f"{pulumi.get_project()}-{stack}"
cluster = Cluster(
    "cluster",
    ClusterArgs(
        kubeconfig=here.kubeconfig,
        context=here.context,
        namespace=namespace,
        stack=stack,
        after=here.ready,
        annotations=chosen.review.annotations if chosen.review else {},
    ),
)
site = Site(
    namespace=cluster.namespace,
    stack=stack,
    exposure=here.exposure,
    access=Access(kubeconfig=here.kubeconfig, context=here.context),
)
in_cluster = pulumi.ResourceOptions(providers=[cluster.provider])
if chosen.charts:
    # They may bring the kinds along that models are served by.
    charts = Charts("charts", ChartsArgs(charts=chosen.charts, stack=stack), in_cluster)
    in_cluster = pulumi.ResourceOptions.merge(in_cluster, pulumi.ResourceOptions(depends_on=charts.ready))
registry = Registry("registry", here.registry)
base = registry.by_digest("base", here.base)
secrets = here.ground.equip(site, cluster.provider, registry) if here.ground else {}
pools = place.gpu_pools(chosen, here, registry, namespace, in_cluster)
on_pool = {
    name: pulumi.ResourceOptions.merge(in_cluster, pulumi.ResourceOptions(depends_on=[pool]))
    for name, pool in (pools.pools if pools else {}).items()
}

images = {
    name: ModelImage(name, registry.model_image(name, model, base), registry.has(name))
    for name, model in chosen.models.items()
}
cache = None
if chosen.needs_cache:
    shared = CacheArgs(
        image=registry.by_digest("redis", here.images["redis"]),
        site=site,
        models=tuple(name for name, model in chosen.models.items() if model.cached),
        settings=chosen.cache,
    )
    cache = Cache("cache", shared, in_cluster)
controller: list[pulumi.Resource] = []
if chosen.needs_controller:
    rolling_out = RolloutsControllerArgs(
        image=registry.by_digest("rollouts", here.images["rollouts"]),
        definitions=here.definitions,
        site=site,
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
            site=site,
            model=model,
            cache=cache.env if cache and model.cached else (),
            inside=chosen.gateway.enabled,
            controller=controller,
            own_server=settings.server_of(PROJECT / model.recipe) == settings.OWN_SERVER,
            gpu=chosen.gpu_of(model),
        ),
        on_pool.get(model.gpu_pool or "", in_cluster),
    )
    for name, model in chosen.models.items()
}

gateway = None
if chosen.gateway.enabled:
    mounted = secrets.get(chosen.gateway.tls.secret) if chosen.gateway.tls else None
    entry = GatewayArgs(
        image=registry.by_digest("haproxy", here.images["haproxy"]),
        site=site,
        models={name: service.served for name, service in services.items()},
        settings=chosen.gateway,
        after=[*services.values(), *([mounted] if mounted else [])],
        before_seconds=chosen.aws.door_seconds(chosen.gateway) if chosen.aws else None,
    )
    gateway = Gateway("gateway", entry, in_cluster)

if site.exposure.routed:
    way_in = EntryArgs(
        site=site,
        models={name: service.served["stable"].runtime for name, service in services.items()},
        gateway=chosen.gateway.enabled,
        after=[gateway] if gateway else list(services.values()),
    )
    Entry("entry", way_in, in_cluster)

door = None
if here.ground and gateway:
    door = here.ground.open_door(site, chosen.gateway, tuple(chosen.models), gateway, cluster.provider)

if chosen.monitoring.enabled:
    watched = MonitoringArgs(
        image=registry.by_digest("prometheus", here.images["prometheus"]),
        site=site,
        servers={name: service.scraped for name, service in services.items()},
        settings=chosen.monitoring,
        others={**({"gateway": gateway.scraped} if gateway else {}), **(pools.scraped if pools else {})},
        objectives=chosen.objectives,
        protect=chosen.prod,
    )
    pulumi.export("prometheus", Monitoring("monitoring", watched, in_cluster).url)

if chosen.review:
    pulumi.export("review", chosen.review.told)
pulumi.export("namespace", cluster.namespace)
pulumi.export("endpoint", {name: (door or gateway or service).url for name, service in services.items()})
pulumi.export("models", {name: {"recipe": chosen.models[name].recipe, **one.told} for name, one in images.items()})
if ledger:
    pulumi.export("cost", ledger.cost)
