"""SmokeTest: a pod that asks the new version in the cluster; where it ends badly, `up` fails with its last words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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

from provider.differences import compare
from provider.engine_log import EngineLog
from provider.errors import ProviderError
from provider.inputs import checked
from provider.kubernetes import ACCESS, JOB, POD, POLL_SECONDS, Cluster, Object, holds, patiently
from provider.rollout_reasons import JOB_NAME, ended, kept_back
from provider.values import Fields, Properties, plain

TEXTS = ("kubeconfig", "namespace", "name")
INPUTS = (*TEXTS, "context", "labels", "pod", "seconds")
COMPARED = tuple(key for key in INPUTS if key not in ACCESS)
LEFT_SECONDS = 600  # a Job that a killed `up` left goes by itself
GRACE_SECONDS = 30.0


@dataclass(frozen=True)
class SmokeTestType:
    """Answers the engine for SmokeTest resources."""

    project: Path
    log: EngineLog

    async def check(self, request: CheckRequest) -> CheckResponse:
        """Validate the inputs."""
        return checked(
            "SmokeTest", request.new_inputs, INPUTS, texts=TEXTS, numbers=("seconds",), mappings=("labels", "pod")
        )

    async def diff(self, request: DiffRequest) -> DiffResponse:
        """Tell what changed; the pod names the image, so that another image is tested anew."""
        return compare(request.old_state, request.new_inputs, COMPARED)

    async def create(self, request: CreateRequest) -> CreateResponse:
        """Run the test."""
        if not request.preview:
            await self._run(request.urn, request.properties)
        fields = Fields(request.properties)
        identifier = f"{fields.text('namespace')}/{fields.text('name')}"
        return CreateResponse(None if request.preview else identifier, request.properties)

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        """Run the test of what is served now."""
        if not request.preview:
            await self._run(request.urn, request.news)
        return UpdateResponse(request.news)

    async def read(self, request: ReadRequest) -> ReadResponse:
        """Return what is known: a test that passed has passed."""
        return ReadResponse(request.resource_id, request.properties, request.inputs)

    async def delete(self, request: DeleteRequest) -> None:
        """Forget it."""

    async def _run(self, urn: str, inputs: Properties) -> None:
        cluster, fields = Cluster.of(inputs, self.project), Fields(inputs)
        namespace, seconds = str(fields.text("namespace")), int(plain(inputs["seconds"]))
        body = _job(str(fields.text("name")), fields.mapping("labels"), fields.mapping("pod"), seconds)
        await self.log.status(urn, "sending the golden set")
        made = await patiently(lambda: cluster.create(JOB, namespace, body))
        name = str(made["metadata"]["name"])
        try:
            await _until_complete(cluster, namespace, name, seconds + GRACE_SECONDS)
        finally:
            await asyncio.shield(asyncio.to_thread(cluster.delete, JOB, namespace, name))
        await self.log.status(urn, "the golden set was answered as baked")


async def _until_complete(cluster: Cluster, namespace: str, name: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    pending: tuple[str, ...] = ()
    while True:
        live = await patiently(lambda: cluster.get(JOB, namespace, name))
        if live is None:
            raise ProviderError(f"smoke test: job {name!r} was deleted while it ran; run `up` again")
        if holds(live, "Complete"):
            return
        pods = await patiently(lambda: cluster.list(POD, namespace, {JOB_NAME: name}))
        said = _each(pods, lambda pod: tuple(ended(pod)))
        pending = _each(pods, kept_back) or pending
        if said or holds(live, "Failed"):
            raise ProviderError(f"smoke test: {'; '.join(said or pending) or 'its pod did not end in time'}")
        if time.monotonic() >= until:
            raise ProviderError(
                f"smoke test: no end after {seconds:.0f} s: {'; '.join(pending) or 'its pod still runs'}"
            )
        await asyncio.sleep(POLL_SECONDS)


def _each(pods: list[Object], reasons: Callable[[Object], tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(reason for pod in pods for reason in reasons(pod))


def _job(name: str, labels: Object, pod: Object, seconds: int) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        # Without the stack's labels: what a killed `up` left is no object that a record lacks.
        "metadata": {"generateName": f"{name}-"},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": seconds,
            "ttlSecondsAfterFinished": LEFT_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
