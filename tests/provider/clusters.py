"""kubectl on the tests' platform, for what a controller would do."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.waiting import until

Object = dict[str, Any]


@dataclass(frozen=True)
class Kubectl:
    """kubectl on the tests' platform, in a namespace of the test's own."""

    program: str
    kubeconfig: str
    namespace: str

    def run(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        command = [self.program, "kubectl", *arguments, "--kubeconfig", self.kubeconfig]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def apply(self, document: Object) -> None:
        self.run("apply", "--filename=-", "--namespace", self.namespace, stdin=json.dumps(document))

    def status(self, kind: str, name: str, status: Object) -> None:
        patch = json.dumps({"status": status})
        self.run("patch", kind, name, "-n", self.namespace, "--subresource=status", "--type=merge", f"--patch={patch}")


def know(kubectl: Kubectl, definition: Path) -> None:
    """Have the API server know the kind of a definition."""
    kubectl.run("apply", "--server-side", "--force-conflicts", "--filename", str(definition))
    # A definition is established a moment before its kind is served; the first list of objects says that it is.
    # kubectl learns of a kind from what the server says of all of them, which may come another moment later.
    resource = kubectl.run("get", "--filename", str(definition), "-o=jsonpath={.spec.names.plural}.{.spec.group}")
    listed = ("get", resource, "--all-namespaces", "--output=json")
    until(lambda: '"items":' in kubectl.run(*listed, check=False), f"{definition.name} is served")
