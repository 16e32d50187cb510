"""kubectl of this platform's own build on one instance."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from local.errors import PlatformError
from local.instance import Instance


@dataclass(frozen=True)
class Kubectl:
    """kubectl as the instance's administrator; nothing of the user's own configuration is read or written."""

    instance: Instance
    binaries: Path

    def run(self, *arguments: str, stdin: str = "") -> str:
        """What it printed; raises PlatformError with the last line it said."""
        own = [f"--kubeconfig={self.instance.kubeconfig}", f"--cache-dir={self.instance.data / 'kubectl'}"]
        environment = {"PATH": os.defpath, "HOME": str(self.instance.data)}
        done = subprocess.run(
            [str(self.binaries / "kube"), "kubectl", *own, *arguments],
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
