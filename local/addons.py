"""What a platform's cluster runs for all its stacks, applied once for each text of its manifest."""

import hashlib
import string
from collections.abc import Mapping
from pathlib import Path

from local.kubectl import Kubectl
from local.steps import Steps

APPLIED = "modelstack.dev/applied"
NAMESPACE = "--namespace=kube-system"
READY_SECONDS = 180


def apply(kubectl: Kubectl, manifest: Path, name: str, values: Mapping[str, str], steps: Steps) -> None:
    """Apply a manifest, with `values` in place of its $names, unless its Deployment `name` says that it is there."""
    text = string.Template(manifest.read_text()).substitute(values)
    wanted = hashlib.sha256(text.encode()).hexdigest()
    deployment = (f"deployment/{name}", NAMESPACE)
    annotation = APPLIED.replace(".", "\\.")
    said = kubectl.run("get", *deployment, "--ignore-not-found", f"-o=jsonpath={{.metadata.annotations.{annotation}}}")
    if said == wanted:
        return
    with steps.step(f"apply {name}"):
        kubectl.run(
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=modelstack-local",
            "--filename=-",
            stdin=text,
        )
        kubectl.run("annotate", "--overwrite", *deployment, f"{APPLIED}={wanted}")


def wait(kubectl: Kubectl, name: str, steps: Steps) -> None:
    """Wait until the Deployment `name`, and what it adds to the API, answer. Raises PlatformError."""
    limit = f"--timeout={READY_SECONDS}s"
    with steps.step(f"wait for {name}"):
        kubectl.run("rollout", "status", f"deployment/{name}", NAMESPACE, limit)
        kubectl.run("wait", "--for=condition=Available", "apiservices", "--all", limit)
