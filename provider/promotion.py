"""Promotion: waits until a Rollout of Argo serves its new version alone, and fails with the reason where it will not.

The states are those of https://argo-rollouts.readthedocs.io/en/stable/features/specification/ (status.phase).
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

from provider import reading, rollout_reasons
from provider.differences import compare
from provider.engine_log import EngineLog
from provider.errors import ProviderError
from provider.inputs import checked
from provider.kubernetes import ACCESS, POLL_SECONDS, ROLLOUT, Cluster, Object, patiently
from provider.values import Fields, Properties, plain, unknown, wrap

TEXTS = ("kubeconfig", "namespace", "rollout", "wanted")
INPUTS = (*TEXTS, "context", "seconds")
# Where the cluster is reached from says nothing of what runs in it.
COMPARED = tuple(key for key in INPUTS if key not in ACCESS)
# A Rollout that was just made is at odds with Services that its controller has not seen yet.
SETTLE_SECONDS = 5.0
HEALTHY, DEGRADED = "Healthy", "Degraded"


@dataclass(frozen=True)
class PromotionType:
    """Answers the engine for Promotion resources."""

    project: Path
    log: EngineLog

    async def check(self, request: CheckRequest) -> CheckResponse:
        """Validate the inputs."""
        return checked("Promotion", request.new_inputs, INPUTS, texts=TEXTS, numbers=("seconds",))

    async def diff(self, request: DiffRequest) -> DiffResponse:
        """Tell what changed; `wanted` stands for all that the Rollout is made of."""
        return compare(request.old_state, request.new_inputs, COMPARED, replacing=("namespace", "rollout"))

    async def create(self, request: CreateRequest) -> CreateResponse:
        """Wait for the promotion."""
        fields = Fields(request.properties)
        if request.preview:
            return CreateResponse(properties={**request.properties, "stable": unknown()})
        outputs = await self._promoted(request.urn, request.properties)
        return CreateResponse(f"{fields.text('namespace')}/{fields.text('rollout')}", outputs)

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        """Wait for the promotion of what the Rollout holds now."""
        if request.preview:
            return UpdateResponse({**request.news, "stable": unknown()})
        return UpdateResponse(await self._promoted(request.urn, request.news))

    async def read(self, request: ReadRequest) -> ReadResponse:
        """Look whether the Rollout is there; what it does now is its own resource's to tell."""
        return await reading.where_there(request, self.project, ROLLOUT, "rollout")

    async def delete(self, request: DeleteRequest) -> None:
        """Forget it."""

    async def _promoted(self, urn: str, inputs: Properties) -> Properties:
        fields = Fields(inputs)
        waiting = _Waiting(
            Cluster.of(inputs, self.project),
            str(fields.text("namespace")),
            str(fields.text("rollout")),
            float(plain(inputs["seconds"])),
        )
        live = await waiting.until_promoted(lambda message: self.log.status(urn, message))
        return {**inputs, "stable": wrap(str(live["status"].get("stableRS", "")))}


class _Waiting:
    """One wait for one Rollout, `seconds` at the longest."""

    def __init__(self, cluster: Cluster, namespace: str, name: str, seconds: float) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._seconds = seconds
        self._began = time.monotonic()
        self._degraded_since: float | None = None
        self._pods: tuple[str, ...] = ()

    async def until_promoted(self, tell: Any) -> Object:
        """Return the Rollout once it is healthy; raises ProviderError with what stopped it."""
        live = await self._observed()
        if live["status"].get("abort"):
            # Left of an `up` before this one: whoever runs it again asks for another try.
            await tell(f"{self._name}: was aborted before; trying the same version again")
            await patiently(self._retry)
        while True:
            live = await self._observed()
            phase, message = rollout_reasons.phase(live)
            if phase == HEALTHY:
                return live
            await tell(f"{self._name}: {rollout_reasons.progress(live)}")
            await self._note_pods(live)
            if self._has_failed(live, phase, message):
                raise ProviderError(await self._reason(live, message))
            self._check_time(message)
            await asyncio.sleep(POLL_SECONDS)

    async def _observed(self) -> Object:
        """Return the Rollout once its controller has seen what was asked of it last."""
        while True:
            live = await patiently(lambda: self._cluster.get(ROLLOUT, self._namespace, self._name))
            if live is None:
                raise ProviderError(f"rollout {self._name!r}: is not in namespace {self._namespace!r}; run `up` again")
            if rollout_reasons.is_observed(live):
                return live
            self._check_time("the controller has not seen the change; is argo-rollouts running?")
            await asyncio.sleep(POLL_SECONDS)

    def _retry(self) -> None:
        self._cluster.merge_status(ROLLOUT, self._namespace, self._name, {"abort": False, "abortedAt": None})

    def _has_failed(self, live: Object, phase: str, message: str) -> bool:
        if phase != DEGRADED:
            self._degraded_since = None
            return False
        if live["status"].get("abort") and not message.startswith("InvalidSpec"):
            return True
        now = time.monotonic()
        self._degraded_since = self._degraded_since or now
        return now - self._degraded_since >= SETTLE_SECONDS

    def _check_time(self, message: str) -> None:
        if time.monotonic() - self._began >= self._seconds:
            raise ProviderError(
                f"rollout {self._name!r}: not promoted after {self._seconds:.0f} s, the limit: {message}"
                f"{self._also(self._pods)}; raise rolloutSeconds, or see its pods"
            )

    async def _note_pods(self, live: Object) -> None:
        # By the time a rollout is aborted the pods that kept it are gone.
        found = await patiently(lambda: rollout_reasons.pods(self._cluster, self._namespace, live))
        self._pods = found or self._pods

    async def _reason(self, live: Object, message: str) -> str:
        measured = await patiently(lambda: rollout_reasons.measured(self._cluster, self._namespace, live))
        kept = "the version before goes on serving" if live["status"].get("stableRS") else "there is no version before"
        return f"rollout {self._name!r}: not promoted: {message}{self._also((*measured, *self._pods))}; {kept}"

    @staticmethod
    def _also(found: tuple[str, ...]) -> str:
        return "".join(f"; {one}" for one in found)
