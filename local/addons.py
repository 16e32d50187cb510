"""What a platform's cluster runs for all its stacks, applied once for each text of its manifest."""

import hashlib
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.kubectl import Kubectl
from local.steps import Steps

APPLIED = "modelstack.dev/applied"
READY_SECONDS = 180


@dataclass(frozen=True)
class Addon:
    """A manifest beside this file, and the Deployments that it has in one namespace."""

    manifest: str
    deployments: tuple[str, ...]
    namespace: str = "kube-system"
    kinds: str = ""
    """Folder of the image's Go module, whose kustomization is the custom kinds that the manifest's programs know."""

    def text(self, values: Mapping[str, str]) -> str:
        """The manifest with `values` in place of its $names."""
        return string.Template(Path(__file__).with_name(self.manifest).read_text()).substitute(values)


def apply(kubectl: Kubectl, addon: Addon, text: str, steps: Steps) -> None:
    """Apply `text`, unless the addon's first Deployment says that it is there. Raises PlatformError."""
    first = addon.deployments[0]
    wanted = hashlib.sha256(text.encode()).hexdigest()
    deployment = (f"deployment/{first}", f"--namespace={addon.namespace}")
    annotation = APPLIED.replace(".", "\\.")
    said = kubectl.run("get", *deployment, "--ignore-not-found", f"-o=jsonpath={{.metadata.annotations.{annotation}}}")
    if said == wanted:
        return
    with steps.step(f"apply {first}"):
        kubectl.run(
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=modelstack-local",
            "--filename=-",
            stdin=text,
        )
        kubectl.run("annotate", "--overwrite", *deployment, f"{APPLIED}={wanted}")


def wait(kubectl: Kubectl, addon: Addon, steps: Steps) -> None:
    """Wait until the addon's Deployments, and what they add to the API, answer. Raises PlatformError."""
    limit = f"--timeout={READY_SECONDS}s"
    for name in addon.deployments:
        with steps.step(f"wait for {name}"):
            kubectl.run("rollout", "status", f"deployment/{name}", f"--namespace={addon.namespace}", limit)
    with steps.step("wait for the API"):
        kubectl.run("wait", "--for=condition=Available", "apiservices", "--all", limit)
