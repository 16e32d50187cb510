"""A stack's whole configuration, and what its parts ask of each other."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from settings.aws import AwsSettings
from settings.base import Frozen, Label, Quantity, Resources
from settings.charts import ChartSettings
from settings.exposure import ExposureSettings, ObjectName
from settings.gateway import GatewaySettings
from settings.hosts import HostsSettings, require_place
from settings.node_pools import GPU, GpuPoolSettings, resolved
from settings.notifications import NotificationSettings
from settings.places import ClusterSettings, ImageSettings, RegistrySettings
from settings.policies import Environment, ObjectiveSettings, PolicySettings
from settings.review import ReviewSettings
from settings.rollout import ControllerSettings, RolloutSettings
from settings.scale import KedaSettings, ScaleSettings
from settings.serve import KServeSettings, ServeSettings

PREFIX = "modelstack:"
# Whether it runs on a pool → seconds: a node with GPUs is started first, and pulls what no node had before.
ROLLOUT_SECONDS = {False: 300, True: 1200}


class ModelSettings(Frozen):
    """One model: its recipe and how it is served."""

    recipe: str = Field(min_length=1)
    base: str | None = Field(default=None, min_length=1, description="image of the server that the recipe names")
    pin: str | None = Field(
        default=None, pattern=r"^sha256:[0-9a-f]{64}$", description="the image to run, whatever the recipe says"
    )
    replicas: int = Field(default=1, ge=1, le=100)
    gpu_pool: Label | None = Field(default=None, description="one of aws.gpuPools; how many GPUs, the recipe says")
    rollout_seconds: int = Field(
        default_factory=lambda data: ROLLOUT_SECONDS[data.get("gpu_pool") is not None],
        ge=10,
        le=3600,
        description="a rollout that takes longer has failed",
    )
    resources: Resources = Resources()
    serve: ServeSettings = ServeSettings()
    rollout: RolloutSettings = RolloutSettings()
    scale: ScaleSettings | None = None
    cached: bool = Field(default=False, description="equal inputs are computed once; needs the project's own server")
    priority: ObjectName | None = Field(default=None, description="a PriorityClass that the cluster has")
    slo: ObjectiveSettings | None = Field(default=None, description="how well it must be served; prod needs one")

    @property
    def first(self) -> int:
        """The number of pods that the first `up` brings up."""
        return max(1, self.scale.min) if self.scale else self.replicas

    @property
    def most(self) -> int:
        """The most pods that there are, but for those of a rollout."""
        return self.scale.max if self.scale else self.replicas

    @property
    def to_zero(self) -> bool:
        """Whether the model may have no pod."""
        return self.scale is not None and self.scale.to_zero

    @model_validator(mode="after")
    def _one_number_of_pods(self) -> Self:
        if self.scale and "replicas" in self.model_fields_set:
            raise ValueError("names replicas and scale, which chooses their number; remove replicas")
        if self.to_zero and self.rollout.by_controller:
            raise ValueError(
                f"scale.min: 0 leaves rollout.strategy {self.rollout.strategy} no pod to compare with; set min: 1, or "
                "use rolling"
            )
        return self

    @model_validator(mode="after")
    def _fits_kserve(self) -> Self:
        if self.serve.by_kserve and self.rollout.by_controller:
            raise ValueError(
                f"rollout.strategy: {self.rollout.strategy} is of by: stack, KServe's Deployment is a rolling one; use "
                "rolling, or serve.by: stack"
            )
        if self.serve.over_nodes and (self.most > 1 or self.scale):
            raise ValueError(
                f"serve.nodes: {self.serve.nodes} is for one replica, for which alone KServe makes workers; remove "
                "replicas and scale, or nodes"
            )
        return self


class MonitoringSettings(Frozen):
    """Prometheus of the stack."""

    enabled: bool = True
    retention: str = Field(default="7d", pattern=r"^[1-9][0-9]*[mhdw]$")
    storage: Quantity | None = Field(default=None, description="size of a volume claim; an emptyDir where not given")
    exposed: bool = Field(default=False, description="whether a load balancer leads to it where one leads to models")


class CacheSettings(Frozen):
    """The Redis in which servers share answers; it runs where a model is `cached`."""

    memory: int = Field(default=128, ge=16, le=65536, description="MiB; what was not asked for longest goes first")


class Settings(Frozen):
    """A stack's whole configuration."""

    models: dict[Label, ModelSettings] = Field(min_length=1)
    environment: Environment = Field(default="dev", description="by the stack's name where not given")
    namespace: Label | None = None
    cluster: ClusterSettings = ClusterSettings()
    aws: AwsSettings | None = None
    hosts: HostsSettings | None = None
    registry: RegistrySettings | None = None
    base: str | None = None
    images: ImageSettings = ImageSettings()
    exposure: ExposureSettings | None = None
    gateway: GatewaySettings = GatewaySettings()
    cache: CacheSettings = CacheSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    rollouts: ControllerSettings = ControllerSettings()
    keda: KedaSettings = KedaSettings()
    kserve: KServeSettings = KServeSettings()
    charts: dict[Label, ChartSettings] = Field(default={}, max_length=20)
    policies: PolicySettings = PolicySettings()
    review: ReviewSettings | None = Field(default=None, description="written by `ops review up` alone")
    notifications: NotificationSettings = NotificationSettings()

    @property
    def prod(self) -> bool:
        """Whether people depend on the stack."""
        return self.environment == "prod"

    @property
    def objectives(self) -> dict[str, ObjectiveSettings]:
        """The models that have an objective, with it."""
        return {name: one.slo for name, one in self.models.items() if one.slo}

    @property
    def embedded(self) -> bool:
        """Whether the stack runs on the embedded platform."""
        return self.aws is None and self.cluster.kubeconfig is None

    @property
    def gpu_pools(self) -> dict[str, GpuPoolSettings]:
        """The pools of nodes with GPUs that the stack makes, by name."""
        if self.aws is None:
            return {}
        return {name: resolved(one, self.aws.version) for name, one in self.aws.gpu_pools.items()}

    def gpu_of(self, model: ModelSettings) -> str:
        """Return the resource that a GPU is to a model's pods."""
        return self.gpu_pools[model.gpu_pool].resource if model.gpu_pool else GPU

    @property
    def needs_cache(self) -> bool:
        """Whether a model's answers are kept."""
        return any(one.cached for one in self.models.values())

    @property
    def needs_controller(self) -> bool:
        """Whether a model is rolled out by the controller, and the cluster has none."""
        return not self.rollouts.installed and any(one.rollout.by_controller for one in self.models.values())

    @property
    def needs_metrics(self) -> bool:
        """Whether a model is scaled by what its pods use, which a metrics-server of the cluster tells."""
        return any(one.scale and one.scale.cpu for one in self.models.values())

    @property
    def needs_keda(self) -> bool:
        """Whether a model is scaled by series, which KEDA reads."""
        return any(one.scale and one.scale.by_series for one in self.models.values())

    @model_validator(mode="after")
    def _series_need_their_readers(self) -> Self:
        for name, model in self.models.items():
            if model.scale and model.scale.by_series:
                self._require_readers(f"models.{name}.scale", model.scale)
        return self

    def _require_readers(self, key: str, scale: ScaleSettings) -> None:
        if not self.monitoring.enabled:
            raise ValueError(
                f"{key}: waiting and requests are read from Prometheus, which monitoring.enabled: false leaves out; "
                "enable it, or use cpu"
            )
        if not self.embedded and not self.keda.installed:
            raise ValueError(
                f"{key}: waiting and requests are read by KEDA; install it in the cluster and set {PREFIX}keda: "
                "{installed: true}, or use cpu"
            )
        if scale.to_zero and not self.gateway.enabled:
            raise ValueError(
                f"{key}: min: 0 is woken by what the gateway is asked, and gateway.enabled is false; enable it, or set "
                "min: 1"
            )

    @model_validator(mode="after")
    def _kserve_is_there(self) -> Self:
        asked = [name for name, model in self.models.items() if model.serve.by_kserve]
        numbered = [name for name in asked if name[0].isdigit()]
        if numbered:
            raise ValueError(
                f"models: {numbered[0]!r} begins with a digit, names of KServe with a letter; rename the model, or use "
                "serve.by: stack"
            )
        if asked and not self.kserve.installed:
            raise ValueError(
                f"models.{asked[0]}.serve.by: kserve needs KServe's controller; install it in the cluster and set "
                f"{PREFIX}kserve: {{installed: true}}, or use by: stack"
            )
        return self

    @model_validator(mode="after")
    def _analysis_needs_monitoring(self) -> Self:
        asked = [name for name, model in self.models.items() if model.rollout.by_controller]
        if asked and not self.monitoring.enabled:
            raise ValueError(
                f"models.{asked[0]}.rollout.strategy: is judged by Prometheus, which monitoring.enabled: false leaves "
                "out; enable it, or use rolling"
            )
        return self

    @model_validator(mode="after")
    def _gateway_fits_the_way_in(self) -> Self:
        if not self.gateway.enabled or self.exposure is None or not self.exposure.routed:
            return self
        kind = self.exposure.type
        if self.gateway.tls:
            raise ValueError(
                f"gateway.tls: is for clients that reach the gateway itself, {kind} passes plain HTTP on; remove it"
            )
        if self.gateway.limit and not (self.gateway.keys or self.gateway.jwt):
            raise ValueError(
                f"gateway.limit: counts addresses without keys or jwt, and with {kind} all clients have that of its "
                "controller; add keys or jwt, or remove the limit"
            )
        return self

    @model_validator(mode="after")
    def _front_door_fits(self) -> Self:
        if self.aws and self.aws.front_door:
            self.aws.front_door.require_fits(self.gateway, self.exposure, len(self.models))
        return self

    @model_validator(mode="after")
    def _ecr_has_repositories(self) -> Self:
        if self.aws and self.aws.ecr.of_repositories and self.registry and self.registry.push:
            raise ValueError(
                f"aws.ecr: scanning and replicateTo are of the stack's repositories, and registry.push names "
                f"{self.registry.push}; remove one of the two"
            )
        return self

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        suffixes = ("pods", "stable", "stable-pods", "canary", "canary-pods", "preview", "check")
        own = [f"{name}-{suffix}" for name in self.models for suffix in suffixes]
        # KServe's Deployments and Services.
        by_kserve = [name for name, model in self.models.items() if model.serve.by_kserve]
        own += [f"{name}-{suffix}" for name in by_kserve for suffix in ("predictor", "predictor-worker")]
        others = ("prometheus", "cache", "gateway", "gateway-pods", "argo-rollouts", "default-deny", "dcgm-exporter")
        taken = {*others, *own} & set(self.models)
        if taken:
            raise ValueError(f"models: {min(taken)!r} is the name of another object of the stack; rename the model")
        return self

    @model_validator(mode="after")
    def _gpu_pools_are_there(self) -> Self:
        known = sorted(self.gpu_pools)
        for name, model in self.models.items():
            if model.gpu_pool is not None and model.gpu_pool not in known:
                others = f"known are {', '.join(known)}" if known else "there is none"
                raise ValueError(
                    f"models.{name}.gpuPool: {model.gpu_pool!r} is no pool of {PREFIX}aws.gpuPools, {others}; "
                    "correct it, or add the pool"
                )
        return self

    @model_validator(mode="after")
    def _aws_is_the_place(self) -> Self:
        if self.aws is None:
            return self
        if self.cluster.kubeconfig:
            raise ValueError(f"aws makes a cluster, {PREFIX}cluster.kubeconfig names another; remove one of the two")
        if self.base is None:
            raise ValueError(f"aws is set but {PREFIX}base is missing; set it, no default fits every registry")
        return self

    @model_validator(mode="after")
    def _charts_have_their_place(self) -> Self:
        if self.charts and self.embedded:
            raise ValueError(
                "charts: are rendered by the official provider of Kubernetes, the embedded platform's stand-in has no "
                "Helm; name a cluster, or remove them"
            )
        return self

    @model_validator(mode="after")
    def _hosts_are_the_cluster(self) -> Self:
        if self.hosts:
            require_place(self.cluster)
        return self

    @model_validator(mode="after")
    def _own_cluster_needs_a_registry(self) -> Self:
        if self.registry and self.registry.push is None and self.aws is None:
            raise ValueError("registry.push: is missing; set it, outside AWS no default fits")
        if self.cluster.kubeconfig and not (self.registry and self.base):
            missing = "registry" if self.registry is None else "base"
            raise ValueError(
                f"cluster names a kubeconfig but {PREFIX}{missing} is missing; set it, no default fits every cluster"
            )
        return self
