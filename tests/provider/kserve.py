"""KServe on the tests' platform: its own controller and webhooks, as its release installs them, without cert-manager.

The controller runs as a process in the platform's network, where the API server reaches its webhooks by loopback.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from local import build, health, instance, node
from tests.provider.clusters import Kubectl, Object
from tests.tools import program
from tests.waiting import until

WEBHOOKS, HEALTH = 29443, 29081
FILES = ("kserve.yaml", "kserve-cluster-resources.yaml")
# Other controllers of the release, for other kinds.
OTHERS = ("llm", "localmodel")
DEFINITION, HOOKS = "CustomResourceDefinition", ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
CONFIGURED = ("ConfigMap", "ClusterStorageContainer", "ClusterServingRuntime")
SERVING = ".serving.kserve.io"
OPENSSL = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1")


@contextmanager
def running(kubectl: Kubectl, environment: dict[str, str], folder: Path) -> Iterator[None]:
    """Run KServe for all namespaces; its kinds stay, and what it does to objects of others ends with it."""
    release = released()
    kinds = [one for one in release if one["kind"] == DEFINITION]
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kserve"}}
    authority = certificate(folder / "k8s-webhook-server" / "serving-certs")
    apply(kubectl, [namespace, *kinds])
    until(lambda: established(kubectl) >= {one["metadata"]["name"] for one in kinds}, "KServe's kinds are served")
    apply(kubectl, [natively(one) for one in release if one["kind"] in CONFIGURED])
    hooks = [reached(one, authority) for one in release if one["kind"] in HOOKS]
    with controller(kubectl, environment, folder):
        apply(kubectl, hooks)
        yield
        # They go when the controller has seen it.
        kubectl.run("delete", "inferenceservices.serving.kserve.io", "--all", "--all-namespaces")
        for one in hooks:
            kubectl.run("delete", one["kind"], one["metadata"]["name"])


def released() -> list[Object]:
    """Return what the release's files install, without its other controllers."""
    folder = build.source(build.KSERVE) / "install" / build.KSERVE.version
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = [one for file in FILES for one in yaml.load_all((folder / file).read_text(), Loader=loader) if one]
    return [one for one in found if is_wanted(one["kind"], one["metadata"]["name"])]


def is_wanted(kind: str, name: str) -> bool:
    """Return whether the controller of InferenceServices has to do with an object."""
    if kind == DEFINITION:
        return name.endswith(SERVING) and not name.startswith(OTHERS)
    return kind in CONFIGURED or (kind in HOOKS and not name.startswith(OTHERS))


def apply(kubectl: Kubectl, objects: list[Object]) -> None:
    """Make objects, in their own namespaces."""
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    kubectl.run("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=document)


def natively(configured: Object) -> Object:
    """Return the release's settings with `oci://` as an image volume, as docs/runtimes.md has them set."""
    if configured["kind"] != "ConfigMap":
        return configured
    told = json.loads(configured["data"]["storageInitializer"])
    data = {**configured["data"], "storageInitializer": json.dumps({**told, "ociModelMode": "native"})}
    return {**configured, "data": data}


def established(kubectl: Kubectl) -> set[str]:
    """Return the kinds that the API server serves."""
    found = json.loads(kubectl.run("get", "customresourcedefinitions", "-o=json"))["items"]
    named = ((one["metadata"]["name"], (one.get("status") or {}).get("conditions") or []) for one in found)
    return {name for name, conditions in named if any(one["type"] == "Established" for one in conditions)}


def certificate(folder: Path) -> str:
    """Make the webhooks' key and certificate; returns what the API server trusts them by."""
    folder.mkdir(parents=True)
    files = ("-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt"))
    subprocess.run(
        ["openssl", *OPENSSL, "-addext", "subjectAltName=IP:127.0.0.1", *files], check=True, capture_output=True
    )
    return base64.b64encode((folder / "tls.crt").read_bytes()).decode()


def reached(configuration: Object, authority: str) -> Object:
    """Return webhooks that the API server calls by loopback."""
    for one in configuration["webhooks"]:
        path = one["clientConfig"]["service"]["path"]
        one["clientConfig"] = {"url": f"https://127.0.0.1:{WEBHOOKS}{path}", "caBundle": authority}
    return configuration


@contextmanager
def controller(kubectl: Kubectl, environment: dict[str, str], folder: Path) -> Iterator[None]:
    """Run the controller in the platform's network, its certificate in `folder`."""
    found = node.running(instance.locate(environ=environment))
    assert found is not None
    enters = ["nsenter", f"--net=/proc/{found.pid}/ns/net"]
    options = ["--metrics-addr=0", f"--health-probe-addr=127.0.0.1:{HEALTH}", f"--webhook-port={WEBHOOKS}"]
    told = {"KUBECONFIG": kubectl.kubeconfig, "TMPDIR": str(folder), "POD_NAMESPACE": "kserve"}
    log = folder / "controller.log"
    with log.open("wb") as output:
        command = [*enters, str(program(build.KSERVE)), *options]
        process = subprocess.Popen(command, env=os.environ | told, stdout=output, stderr=subprocess.STDOUT)
    try:
        asked = {"kserve": f"http://127.0.0.1:{HEALTH}/readyz"}
        until(lambda: not health.probe(found, asked)["kserve"], f"KServe's controller is ready (see {log})")
        yield
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    # Once for all tests, and told: a test that waited for it would run into its own time limit.
    program(build.KSERVE)
