"""kubectl of this platform's own build on one instance."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Self

from local import build
from local.errors import PlatformError, RefusedError
from local.instance import Instance


@dataclass(frozen=True)
class Kubectl:
    """kubectl as the instance's administrator; nothing of the user's own configuration is read or written."""

    instance: Instance
    binaries: Path

    @classmethod
    def of(cls, instance: Instance) -> Self:
        """The kubectl of an instance that has been started before; raises RefusedError for another."""
        folder = build.binaries(build.KUBERNETES, instance.cache, build.go_version())
        if not (instance.kubeconfig.is_file() and (folder / "kube").is_file()):
            raise RefusedError(f"platform {instance.name!r}: has not been started; run `python -m local up` first")
        return cls(instance, folder)

    def replace_this_process(self, arguments: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
        """Go on as kubectl, with the caller's terminal, signals and environment."""
        command = [str(self.binaries / "kube"), "kubectl", *self._own, *arguments]
        sys.stdout.flush()
        os.execve(command[0], command, {**environ, "KUBERC": "off"})  # noqa: S606 (a list, and never a shell)

    @property
    def _own(self) -> list[str]:
        return [f"--kubeconfig={self.instance.kubeconfig}", f"--cache-dir={self.instance.data / 'kubectl'}"]

    def run(self, *arguments: str, stdin: str = "") -> str:
        """What it printed; raises PlatformError with the last line it said."""
        environment = {"PATH": os.defpath, "HOME": str(self.instance.data)}
        done = subprocess.run(
            [str(self.binaries / "kube"), "kubectl", *self._own, *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise PlatformError(f"kubectl {arguments[0]}: {said}")
        return done.stdout
