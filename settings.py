"""Pulumi.<stack>.yaml, parsed once into frozen settings; every error is one line with key, value, limit and remedy."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from frozen import Frozen
from rollout_settings import ControllerSettings, RolloutSettings

PREFIX = "modelstack:"
OWN_SERVER = "onnxruntime"  # the one that runs on the stack's base
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|[kMGT]i?)?$")]
Image = Annotated[str, Field(min_length=1)]
Word = Annotated[str, Field(pattern=r"^[!-&(-~]+$", max_length=200)]  # no blank, no quote
Label = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=40)]


class SettingsError(Exception):
    """A stack's configuration cannot be used; the message is one line."""


class Resources(Frozen):
    """What one replica is given."""

    cpu_request: Quantity = "100m"
    cpu_limit: Quantity = "1"
    memory_request: Quantity = "192Mi"
    memory_limit: Quantity = "512Mi"


class ModelSettings(Frozen):
    """One model: its recipe and how it is served."""

    recipe: str = Field(min_length=1)
    base: str | None = Field(default=None, min_length=1, description="image of the server that the recipe names")
    replicas: int = Field(default=1, ge=1, le=100)
    rollout_seconds: int = Field(default=300, ge=10, le=3600, description="a rollout that takes longer has failed")
    resources: Resources = Resources()
    rollout: RolloutSettings = RolloutSettings()


class ClusterSettings(Frozen):
    """A cluster of one's own; without a kubeconfig the embedded platform."""

    kubeconfig: str | None = None
    context: str | None = None

    @model_validator(mode="after")
    def _context_needs_kubeconfig(self) -> Self:
        if self.context and not self.kubeconfig:
            raise ValueError("names a context without a kubeconfig; add `kubeconfig`, the file that holds the context")
        return self


class RegistrySettings(Frozen):
    """Where images are pushed, and where nodes pull them from."""

    push: str = Field(min_length=1)
    pull: str | None = None
    docker_config: str | None = None
    prefix: str = Field(default="modelstack", pattern=r"^[a-z0-9]+([._/-][a-z0-9]+)*$", max_length=200)
    signing_key: str | None = Field(default=None, min_length=1, description="a file, or env://NAME")
    public_keys: tuple[Annotated[str, Field(min_length=1)], ...] = Field(default=(), max_length=8)

    @field_validator("signing_key", "public_keys")
    @classmethod
    def _is_no_key(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        if "PRIVATE KEY" in str(value):
            raise ValueError("is a private key itself, which everyone could read here; name its file, or env://NAME")
        return value

    @model_validator(mode="after")
    def _signing_needs_public_keys(self) -> Self:
        if self.signing_key and not self.public_keys:
            raise ValueError(
                "names a signingKey without publicKeys; add `publicKeys`, a list that holds its public half"
            )
        return self


class ExposureSettings(Frozen):
    """How the models are reached."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    host: str | None = Field(default=None, description="the address that serves node ports")

    @model_validator(mode="after")
    def _node_ports_need_a_host(self) -> Self:
        if self.type == "NodePort" and not self.host:
            raise ValueError("is NodePort without a host; add `host`, an address of a node")
        return self


class ImageSettings(Frozen):
    """The third-party images that a stack may run, by digest, or by a tag that the first `up` pins."""

    prometheus: Image = "docker.io/prom/prometheus:v3.7.3"
    haproxy: Image = "docker.io/library/haproxy:2.6"
    redis: Image = "docker.io/library/redis:7.0"
    rollouts: Image = "quay.io/argoproj/argo-rollouts:v1.10.2"

    @property
    def named(self) -> set[str]:
        """The names of those that the settings set."""
        return self.model_fields_set

    def reference(self, name: str) -> str:
        """Return the reference of one."""
        return str(getattr(self, name))


class MonitoringSettings(Frozen):
    """Prometheus of the stack."""

    enabled: bool = True
    retention: str = Field(default="7d", pattern=r"^[1-9][0-9]*[mhdw]$")
    storage: Quantity | None = Field(default=None, description="size of a volume claim; an emptyDir where not given")


class KeySettings(Frozen):
    """One client's key: its hash alone, so that nothing here opens the gateway."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="`printf %s KEY | sha256sum`")
    requests: int | None = Field(default=None, ge=1, le=1_000_000, description="in place of the limit's own")


class JwtSettings(Frozen):
    """Whose tokens are taken; `exp` and `sub` every token must have."""

    algorithm: Literal["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"] = "RS256"
    public_key: str = Field(pattern="^-----BEGIN PUBLIC KEY-----", description="PEM, as a text of several lines")
    issuer: Word
    audience: Word


class LimitSettings(Frozen):
    """How many requests one client may send, at each replica of the gateway."""

    requests: int = Field(ge=1, le=1_000_000)
    seconds: int = Field(default=1, ge=1, le=3600)


class TlsSettings(Frozen):
    """Where the certificate is: a Secret of type kubernetes.io/tls in the stack's namespace."""

    secret: Label


class GatewaySettings(Frozen):
    """One entry for all models of the stack."""

    enabled: bool = False
    replicas: int = Field(default=2, ge=1, le=20)
    tls: TlsSettings | None = None
    keys: dict[Label, KeySettings] = Field(default_factory=dict)
    jwt: JwtSettings | None = None
    limit: LimitSettings | None = None
    body_bytes: int = Field(default=8 << 20, ge=1024, le=1 << 30, description="a larger body is refused")
    retry_bytes: int = Field(default=64 << 10, ge=16 << 10, le=1 << 20, description="a larger request is sent once")
    request_seconds: int = Field(default=10, ge=1, le=600, description="a request must have arrived by then")
    queue_seconds: int = Field(default=5, ge=1, le=600, description="it waits no longer for a free pod")
    answer_seconds: int = Field(default=60, ge=1, le=3600, description="a pod must answer by then")
    per_pod: int = Field(default=64, ge=1, le=10_000, description="requests a pod is sent at once by each replica")
    connections: int = Field(default=1000, ge=10, le=100_000, description="of clients, at each replica")
    resources: Resources = Resources(cpu_request="100m", cpu_limit="1", memory_request="64Mi", memory_limit="512Mi")
    domain: str = Field(
        default="cluster.local", pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", description="the cluster's"
    )

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if self.keys and self.jwt:
            raise ValueError("names keys and jwt; keep one of them")
        return self


class Settings(Frozen):
    """A stack's whole configuration."""

    models: dict[Label, ModelSettings] = Field(min_length=1)
    namespace: Label | None = None
    cluster: ClusterSettings = ClusterSettings()
    registry: RegistrySettings | None = None
    base: str | None = None
    images: ImageSettings = ImageSettings()
    exposure: ExposureSettings | None = None
    gateway: GatewaySettings = GatewaySettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    rollouts: ControllerSettings = ControllerSettings()

    @property
    def needs_controller(self) -> bool:
        """Whether a model is rolled out by the controller, and the cluster has none."""
        return not self.rollouts.installed and any(one.rollout.by_controller for one in self.models.values())

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
    def _names_are_free(self) -> Self:
        suffixes = ("pods", "stable", "canary", "preview", "check")
        own = (f"{name}-{suffix}" for name in self.models for suffix in suffixes)
        others = {"prometheus", "gateway", "gateway-pods", "default-deny", "argo-rollouts"}
        taken = {*others, *own} & set(self.models)
        if taken:
            raise ValueError(f"models: {min(taken)!r} is the name of another object of the stack; rename the model")
        return self

    @model_validator(mode="after")
    def _own_cluster_needs_a_registry(self) -> Self:
        if self.cluster.kubeconfig and not (self.registry and self.base):
            missing = "registry" if self.registry is None else "base"
            raise ValueError(
                f"cluster names a kubeconfig but {PREFIX}{missing} is missing; set it, no default fits every cluster"
            )
        return self


def load(config: Mapping[str, str], project: Path, stack: str) -> Settings:
    """Return the settings in the engine's raw `config`; recipes lie below `project`. Raises SettingsError."""
    own = {key.removeprefix(PREFIX): value for key, value in config.items() if key.startswith(PREFIX)}
    where = f"Pulumi.{stack}.yaml"
    given = {key: _value(where, key, text) for key, text in own.items()}
    # Pulumi.yaml declares every key, and a declared key without a value needs an empty default.
    values = {key: value for key, value in given.items() if value not in ("", {})}
    try:
        settings = Settings.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise SettingsError(f"{where}: {_explain(error, values)}") from None
    for name, model in settings.models.items():
        _require_recipe(where, project, name, model)
    return settings


def _value(where: str, key: str, text: str) -> Any:
    if key in ("namespace", "base") or key not in Settings.model_fields:
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise SettingsError(
            f"{where}: {PREFIX}{key}: {text!r} is plain text; write a mapping (see `config` in Pulumi.yaml)"
        ) from None


def _explain(error: ValidationError, values: Mapping[str, Any]) -> str:
    found = error.errors()
    # A misspelt key is missing too; what is there says more than what is not.
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    path = ".".join(str(part) for part in first["loc"])
    key = f"{PREFIX}{path}" if path else PREFIX.rstrip(":")
    if first["type"] == "extra_forbidden":
        return f"{key}: is no known key{_closest(first['loc'])}; correct or remove it"
    if first["type"] == "missing":
        return f"{key}: is missing; add it"
    if first["type"] == "value_error":
        return f"{key}: {first['ctx']['error']}"
    limit = first["msg"][0].lower() + first["msg"][1:]
    return f"{key}: {_at(values, first['loc'])!r}: {limit}; correct it"


def _at(values: Any, path: tuple[int | str, ...]) -> Any:
    for part in path:
        if not isinstance(values, Mapping) or part not in values:
            return values
        values = values[part]
    return values


def _closest(path: tuple[int | str, ...]) -> str:
    known = _keys(path[:-1])
    near = difflib.get_close_matches(str(path[-1]), known, 1)
    return f", did you mean `{near[0]}`" if near else f", known are {', '.join(known)}"


def _keys(path: tuple[int | str, ...]) -> list[str]:
    room: type[BaseModel] = Settings
    for part in path:
        known = {field.alias or name: field for name, field in room.model_fields.items()}
        # What is no field is a name in a mapping, whose values have the fields.
        room = (_room(known[str(part)].annotation) if part in known else None) or room
    return [field.alias or name for name, field in room.model_fields.items()]


def _room(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_room, get_args(annotation))), None)


def server_of(recipe: Path) -> str:
    """Return the name of the server that a recipe asks for."""
    runtime = _said_in(recipe).get("runtime")
    return str(runtime.get("name") or OWN_SERVER) if isinstance(runtime, Mapping) else OWN_SERVER


def _require_recipe(where: str, project: Path, name: str, model: ModelSettings) -> None:
    path, key = project / model.recipe, f"{where}: {PREFIX}models.{name}"
    if not path.is_file():
        raise SettingsError(
            f"{key}.recipe: {model.recipe!r} names no file below the project's folder; "
            "write the recipe or correct the path"
        )
    said = _said_in(path)
    if said.get("name") not in (None, name):
        raise SettingsError(
            f"{key}: is not {said['name']!r}, the name in {model.recipe} that the server answers to; use that"
        )
    server = server_of(path)
    if model.base is None and server != OWN_SERVER:
        raise SettingsError(
            f"{key}.base: is missing; {model.recipe} is served by {server}, name that server's image by digest or tag"
        )
    if model.rollout.by_controller and server != OWN_SERVER:
        raise SettingsError(
            f"{key}.rollout.strategy: {model.rollout.strategy!r} is judged by the series and the golden set of "
            f"{OWN_SERVER}, {model.recipe} is served by {server}; use rolling"
        )


def _said_in(recipe: Path) -> Mapping[str, Any]:
    # What else is wrong with a recipe the provider says, with every key of it.
    try:
        found = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, Mapping) else {}
