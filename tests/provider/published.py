"""Custom kinds by the definitions that their projects publish, from Go modules."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.provider.clusters import Kubectl
from tests.waiting import until


@dataclass(frozen=True)
class Published:
    """A version of a Go module, and the hash that it has in everyone's go.sum."""

    module: str
    sum: str

    def folder(self) -> Path:
        """Return where its files lie, fetched where they are not there yet."""
        command = ["go", "mod", "download", "-json", self.module]
        told = json.loads(subprocess.run(command, cwd="/", capture_output=True, check=True).stdout)
        assert told["Sum"] == self.sum
        return Path(told["Dir"])


GATEWAY_API = Published("sigs.k8s.io/gateway-api@v1.4.0", "h1:ZwlNM6zOHq0h3WUX2gfByPs2yAEsy/EenYJB78jpQfQ=")
KSERVE = Published("github.com/kserve/kserve@v0.20.0", "h1:Bs7HxmGV4KFqqptDcWseKv+mwD4YOYHJWcuVgPG2Gug=")


@contextmanager
def known(kubectl: Kubectl, definition: Path) -> Iterator[None]:
    """Have the API server know the kind of a definition while this lasts."""
    kubectl.run("apply", "--server-side", "--force-conflicts", "--filename", str(definition))
    # `kubectl wait` takes one of a second's age, which has no conditions at all, for an error.
    asked = ("get", "--filename", str(definition), "-o=jsonpath={.status.conditions[*].type}")
    until(lambda: "Established" in kubectl.run(*asked), f"{definition.name} is served")
    yield
    kubectl.run("delete", "--wait=false", "--filename", str(definition))
