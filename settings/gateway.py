"""The one entry before all models of a stack: who may ask, how much, and for how long."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from settings.base import Frozen, Label, Resources, Word, amount


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
    keys: dict[Label, KeySettings] = Field(default={})
    jwt: JwtSettings | None = None
    limit: LimitSettings | None = None
    body_bytes: int = Field(default=8 << 20, ge=1024, le=1 << 30, description="a larger body is refused")
    retry_bytes: int = Field(default=64 << 10, ge=16 << 10, le=1 << 20, description="a larger request is sent once")
    request_seconds: int = Field(default=10, ge=1, le=600, description="a request must have arrived by then")
    queue_seconds: int = Field(default=5, ge=1, le=600, description="it waits no longer for a free pod")
    wake_seconds: int = Field(default=60, ge=1, le=600, description="it waits no longer for the first pod of a model")
    answer_seconds: int = Field(default=60, ge=1, le=3600, description="a pod must answer by then")
    per_pod: int = Field(default=64, ge=1, le=10_000, description="requests a pod is sent at once by each replica")
    connections: int = Field(default=4000, ge=10, le=100_000, description="of clients, at each replica")
    resources: Resources = Resources(cpu_request="100m", cpu_limit="1", memory_request="64Mi", memory_limit="512Mi")
    domain: str = Field(
        default="cluster.local", pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", description="the cluster's"
    )

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if self.keys and self.jwt:
            raise ValueError("names keys and jwt; keep one of them")
        return self

    @model_validator(mode="after")
    def _requests_on_their_way_fit_the_memory(self) -> Self:
        # The other half is for answers, and for what HAProxy itself needs.
        held, memory = self.connections * self.retry_bytes, self.resources.memory_limit
        if held > amount(memory) / 2:
            raise ValueError(
                f"connections: {self.connections} that hold retryBytes {self.retry_bytes} each are {held >> 20} MiB, "
                f"more than half of resources.memoryLimit {memory}; lower one of the two, or raise the limit"
            )
        return self
