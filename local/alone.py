"""A registry alone, on a port and folder of its own: for tests and benchmarks, which start no platform."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from local.build import REGISTRY, binaries, build, go_version
from local.errors import PlatformError
from local.steps import Steps
from model_build.places import cache_root

SECONDS = 30.0
CONFIGURATION = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}}}, delete: {{enabled: true}}}}
http: {{addr: "{host}", secret: alone{tls}}}
"""
# Distribution 3 sends traces to a collector unless told otherwise.
QUIET = {"OTEL_TRACES_EXPORTER": "none"}


@contextlib.contextmanager
def running_registry(folder: Path, tls: str = "") -> Iterator[str]:
    """Yield the host of a Distribution registry with its data in `folder`/data; raises PlatformError.

    `tls` is what the registry's configuration says of it, in YAML; without it plain HTTP is spoken.
    """
    go, cache = go_version(), cache_root()
    build((REGISTRY,), cache, go, Steps())
    host = f"127.0.0.1:{free_port()}"
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "registry.yaml"
    further = f", tls: {tls}" if tls else ""
    configuration.write_text(CONFIGURATION.format(folder=folder / "data", host=host, tls=further))
    program = binaries(REGISTRY, cache, go) / "registry"
    with serving([program, "serve", configuration], QUIET, host, folder / "registry.log"):
        yield host


@contextlib.contextmanager
def serving(command: Sequence[str | Path], environment: Mapping[str, str], host: str, log: Path) -> Iterator[None]:
    """Run a program that listens at `host`, told in `log`; raises PlatformError where it does not."""
    with log.open("wb") as told:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=told, stderr=subprocess.STDOUT)
    try:
        _await(host, log)
        yield
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _await(host: str, log: Path) -> None:
    name, _, port = host.partition(":")
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection((name, int(port)), 1):
            return
        time.sleep(0.02)
    raise PlatformError(f"{host}: does not listen after {SECONDS:.0f} s; see {log}")
