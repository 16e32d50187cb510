"""What a machine must have before anything is started; each refusal names the remedy."""

import os
import re
import shutil
from pathlib import Path

from local import ports
from local.build import OTHERWISE
from local.errors import RefusedError
from local.instance import Instance

GIGABYTE = 10**9
BUILD_BYTES = 30 * GIGABYTE  # what Go's caches reach while everything is built
RUN_BYTES = 3 * GIGABYTE
TOOLS = {"unshare": "util-linux", "nsenter": "util-linux", "setpriv": "util-linux", "openssl": "openssl"}
_UNFIT = re.compile(r"[:,\\\s\"]")  # an overlay mount's options cannot hold these


def machine(instance: Instance) -> None:
    """Refuse a machine without root or a tool, and folders that cannot be mounted. Raises RefusedError."""
    if os.geteuid() != 0:
        raise RefusedError(
            f"user: {os.geteuid()} is not root (0), which namespaces need; run this as root, {OTHERWISE}"
        )
    for tool, package in TOOLS.items():
        if not shutil.which(tool):
            raise RefusedError(f"{tool}: not found on PATH; install the package {package}, {OTHERWISE}")
    for variable, folder in (("MODELSTACK_DATA", instance.data), ("MODELSTACK_CACHE", instance.cache)):
        if _UNFIT.search(str(folder)):
            raise RefusedError(
                f"{variable}: {str(folder)!r} holds a colon, comma, quote, backslash or blank, not fit for mounts; "
                "name another folder"
            )


def disk(variable: str, folder: Path, needed: int) -> None:
    """Refuse a disk with less than `needed` bytes free. Raises RefusedError."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise RefusedError(
            f"disk: {folder} has {free / GIGABYTE:.1f} GB free, {needed / GIGABYTE:.0f} GB are needed; "
            f"free some, set {variable} to a folder on a larger disk, {OTHERWISE}"
        )


def free_ports(instance: Instance) -> None:
    """Refuse an instance one of whose ports another process listens on. Raises RefusedError."""
    for port in instance.host_ports:
        if ports.is_free(port):
            continue
        last = instance.host_ports[-1]
        raise RefusedError(
            f"port: 127.0.0.1:{port} is in use by {ports.holder(port)}, of {instance.base_port} to {last} which the "
            f"platform needs; end that, set MODELSTACK_BASE_PORT to another range, {OTHERWISE}"
        )
