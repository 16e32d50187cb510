"""A real registry for tests, on a port and folder of its own, and images small enough to write by hand."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

from tests.provider.programs import registry_program

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIGURATION = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}}}, delete: {{enabled: true}}}}
http: {{addr: "{host}", secret: tests}}
"""


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Yield the host of a registry that keeps its data in `folder`."""
    host = f"127.0.0.1:{_free_port()}"
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "config.yaml"
    configuration.write_text(CONFIGURATION.format(folder=folder / "data", host=host))
    process = subprocess.Popen([registry_program(), "serve", str(configuration)], stdout=subprocess.DEVNULL)
    try:
        _wait(host)
        yield host
    finally:
        process.terminate()
        process.wait(30)


def _free_port() -> int:
    for port in range(7900, 7930):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise RuntimeError("ports 7900 to 7929 are all in use; end what listens there")


def _wait(host: str) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            urllib3.request("GET", f"http://{host}/v2/", retries=False, timeout=1)
        except urllib3.exceptions.HTTPError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def push_base(host: str) -> str:
    """Push an empty base image; returns its reference by digest."""
    config = {"os": "linux", "architecture": "amd64", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
    return f"{host}/tests/base@{push_config(host, 'tests/base', config)}"


def push(host: str, repository: str, content: str, *tags: str) -> str:
    """Push an image that differs by `content` under each tag; returns its digest."""
    return push_config(host, repository, {"content": content}, *tags)


def push_config(host: str, repository: str, config: dict[str, Any], *tags: str) -> str:
    """Push an image of a configuration without layers under each tag; returns its digest."""
    blob = json.dumps(config).encode()
    digest = "sha256:" + hashlib.sha256(blob).hexdigest()
    started = urllib3.request("POST", f"http://{host}/v2/{repository}/blobs/uploads/")
    assert started.status == 202, started.data
    there = f"{started.headers['Location']}&digest={digest}"
    assert urllib3.request("PUT", there, body=blob).status == 201
    descriptor = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(blob)}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor, "layers": []}).encode()
    own = "sha256:" + hashlib.sha256(manifest).hexdigest()
    for reference in tags or (own,):
        url = f"http://{host}/v2/{repository}/manifests/{reference}"
        answer = urllib3.request("PUT", url, body=manifest, headers={"Content-Type": MANIFEST})
        assert answer.status == 201, answer.data
    return own
