"""Readiness: waits until an InferenceService of KServe serves its new version alone, and fails with what prevents it.

Its condition Ready is no measure by itself: it stays true while the pods of a version before serve.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulumi.provider.experimental.provider import (
    CheckRequest,
    CheckResponse,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    ReadRequest,
    ReadResponse,
    UpdateRequest,
    UpdateResponse,
)

from provider import kserve_reasons, reading
from provider.differences import compare
from provider.engine_log import EngineLog
from provider.errors import ProviderError
from provider.inputs import checked
from provider.kubernetes import ACCESS, INFERENCE_SERVICE, POLL_SECONDS, Cluster, Object, patiently
from provider.values import Fields, Properties, plain

TEXTS = ("kubeconfig", "namespace", "service", "wanted")
NUMBERS = ("replicas", "seconds")
INPUTS = (*TEXTS, *NUMBERS, "context")
# Where the cluster is reached from says nothing of what runs in it.
COMPARED = tuple(key for key in INPUTS if key not in ACCESS)
# What was refused before stands there until the controller has seen what is asked now.
SETTLE_SECONDS = 5.0


@dataclass(frozen=True)
class ReadinessType:
    """Answers the engine for Readiness resources."""

    project: Path
    log: EngineLog

    async def check(self, request: CheckRequest) -> CheckResponse:
        """Validate the inputs."""
        return checked("Readiness", request.new_inputs, INPUTS, texts=TEXTS, numbers=NUMBERS)

    async def diff(self, request: DiffRequest) -> DiffResponse:
        """Tell what changed; `wanted` stands for all that the pods are made of."""
        return compare(request.old_state, request.new_inputs, COMPARED, replacing=("namespace", "service"))

    async def create(self, request: CreateRequest) -> CreateResponse:
        """Wait for the pods."""
        fields = Fields(request.properties)
        if request.preview:
            return CreateResponse(properties=request.properties)
        await self._waited(request.urn, request.properties)
        return CreateResponse(f"{fields.text('namespace')}/{fields.text('service')}", request.properties)

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        """Wait for the pods that are asked for now."""
        if not request.preview:
            await self._waited(request.urn, request.news)
        return UpdateResponse(request.news)

    async def read(self, request: ReadRequest) -> ReadResponse:
        """Look whether the InferenceService is there; what it does now is its own resource's to tell."""
        return await reading.where_there(request, self.project, INFERENCE_SERVICE, "service")

    async def delete(self, request: DeleteRequest) -> None:
        """Forget it."""

    async def _waited(self, urn: str, inputs: Properties) -> None:
        fields = Fields(inputs)
        waiting = _Waiting(
            cluster=Cluster.of(inputs, self.project),
            namespace=str(fields.text("namespace")),
            name=str(fields.text("service")),
            wanted=str(fields.text("wanted")),
            replicas=int(plain(inputs["replicas"])),
            seconds=float(plain(inputs["seconds"])),
        )
        await waiting.until_ready(lambda message: self.log.status(urn, message))


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """One wait for one InferenceService, `seconds` at the longest."""

    cluster: Cluster
    namespace: str
    name: str
    wanted: str
    replicas: int
    seconds: float

    async def until_ready(self, tell: Any) -> None:
        """Return once the wanted pods serve alone; raises ProviderError with what prevents it."""
        began, refused_since = time.monotonic(), None
        while True:
            live, made = await self._observed()
            if kserve_reasons.serves(live, made, self.wanted, self.replicas):
                return
            told = kserve_reasons.progress(live, made, self.wanted)
            await tell(f"{self.name}: {told}")
            refusal, now = kserve_reasons.refusal(live, made, self.wanted), time.monotonic()
            refused_since = (refused_since or now) if refusal else None
            if refusal and refused_since and now - refused_since >= SETTLE_SECONDS:
                raise ProviderError(f"inference service {self.name!r}: {refusal}{await self._pods()}")
            if now - began >= self.seconds:
                raise ProviderError(
                    f"inference service {self.name!r}: not ready after {self.seconds:.0f} s, the limit: "
                    f"{told}{await self._pods()}; raise rolloutSeconds, or see its pods"
                )
            await asyncio.sleep(POLL_SECONDS)

    async def _observed(self) -> tuple[Object, list[Object]]:
        live = await patiently(lambda: self.cluster.get(INFERENCE_SERVICE, self.namespace, self.name))
        if live is None:
            raise ProviderError(
                f"inference service {self.name!r}: is not in namespace {self.namespace!r}; run `up` again"
            )
        return live, await patiently(lambda: kserve_reasons.deployments(self.cluster, self.namespace, self.name))

    async def _pods(self) -> str:
        found = await patiently(lambda: kserve_reasons.pods(self.cluster, self.namespace, self.name, self.wanted))
        return "".join(f"; {one}" for one in found)
