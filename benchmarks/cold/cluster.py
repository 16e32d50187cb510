"""The embedded platform's API server through `kubectl proxy`, and the models that a stack deployed on it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import urllib3

from benchmarks.serve.serving import FailedError
from local.instance import Instance
from local.kubectl import Kubectl

MODEL = "modelstack.dev/model"
GATEWAY = "gateway"
POLL_SECONDS = 0.1
GONE_SECONDS = 120.0
PATCH = "application/strategic-merge-patch+json"


@dataclass(frozen=True)
class Cluster:
    """The API server at an address."""

    url: str

    def get(self, path: str) -> Any:
        """Return what the API server answers, JSON or text; raises FailedError."""
        answer = urllib3.request("GET", self.url + path, retries=False, timeout=30)
        if answer.status != 200:
            raise FailedError(f"GET {path}: {answer.status}")
        text = answer.data.decode()
        return text if path.partition("?")[0].endswith("/log") else json.loads(text)

    def scale(self, one: Deployed, replicas: int) -> None:
        """Ask for a number of pods; raises FailedError."""
        body = json.dumps({"spec": {"replicas": replicas}})
        path = f"/apis/apps/v1/namespaces/{one.namespace}/deployments/{one.name}"
        headers = {"Content-Type": PATCH}
        answer = urllib3.request("PATCH", self.url + path, body=body, headers=headers, retries=False, timeout=30)
        if answer.status != 200:
            raise FailedError(f"PATCH {path}: {answer.status} {answer.data[:200].decode(errors='replace')}")

    def pods(self, one: Deployed) -> list[dict[str, Any]]:
        """Return a model's pods."""
        path = f"/api/v1/namespaces/{one.namespace}/pods?labelSelector={MODEL}={one.name}"
        found: list[dict[str, Any]] = self.get(path)["items"]
        return found

    def wait_until_gone(self, models: Sequence[Deployed]) -> None:
        """Wait until models have no pods; raises FailedError."""
        until = time.monotonic() + GONE_SECONDS
        while any(self.pods(one) for one in models):
            if time.monotonic() > until:
                raise FailedError(f"pods are still there after {GONE_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)

    def deployed(self) -> list[Deployed]:
        """Return the models that stacks deployed."""
        found = self.get(f"/apis/apps/v1/deployments?labelSelector={MODEL}")["items"]
        return [self._deployed(one) for one in found]

    def _deployed(self, deployment: dict[str, Any]) -> Deployed:
        name, namespace = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
        services = self.get(f"/api/v1/namespaces/{namespace}/services")["items"]
        ports = {one["metadata"]["name"]: one["spec"]["ports"][0].get("nodePort") for one in services}
        # Behind a gateway a model's own Service is inside the cluster alone.
        entry = next((one for one in (GATEWAY, name) if ports.get(one)), None)
        if entry is None:
            raise FailedError(f"{namespace}/{name}: no port of this machine leads to it; see its stack's exposure")
        spec = deployment["spec"]
        image = spec["template"]["spec"]["containers"][0]["image"]
        return Deployed(namespace, name, image, spec["replicas"], entry, ports[entry])


@dataclass(frozen=True)
class Deployed:
    """A model's Deployment, and the Service (the gateway's, where there is one) with the port that leads to it."""

    namespace: str
    name: str
    image: str
    replicas: int
    entry: str
    port: int


@contextlib.contextmanager
def connected(instance: Instance) -> Iterator[Cluster]:
    """Yield the API server of an instance."""
    kubectl = Kubectl.of(instance)
    command = [str(kubectl.binaries / "kube"), "kubectl", f"--kubeconfig={instance.kubeconfig}", "proxy", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        try:
            said = "" if proxy.stdout is None else proxy.stdout.readline()
            if "127.0.0.1:" not in said:
                raise FailedError(f"kubectl proxy does not start: {said.strip() or 'no message'}")
            yield Cluster(f"http://{said.split()[-1]}")
        finally:
            proxy.terminate()
