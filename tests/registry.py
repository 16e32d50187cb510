"""A real registry for tests, on a port and folder of its own, and images of no layer to put into it."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from local.alone import free_port, running_registry
from model_build.oci.image import Image, ImageConfig
from model_build.oci.push import push as push_image
from model_build.oci.registry import Registry

__all__ = ["Gate", "flip", "free_port", "gate", "push", "push_base", "running_registry"]


@dataclass(frozen=True)
class Gate:
    """The way to a registry that a push cannot pass before it is opened."""

    host: str
    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def gate(registry: str) -> Iterator[Gate]:
    """Yield a closed gate before `registry`: reads pass, the first upload waits there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        made = Gate(f"127.0.0.1:{server.getsockname()[1]}")
        threading.Thread(target=_let_in, args=(server, registry, made), daemon=True).start()
        try:
            yield made
        finally:
            made.opened.set()
            server.shutdown(socket.SHUT_RDWR)


def _let_in(server: socket.socket, registry: str, made: Gate) -> None:
    name, _, port = registry.partition(":")
    with contextlib.suppress(OSError):
        while True:
            client, _ = server.accept()
            beyond = socket.create_connection((name, int(port)))
            threading.Thread(target=_carry, args=(client, beyond, made), daemon=True).start()
            threading.Thread(target=_carry, args=(beyond, client, None), daemon=True).start()


def _carry(source: socket.socket, target: socket.socket, made: Gate | None) -> None:
    with contextlib.suppress(OSError), source:
        while chunk := source.recv(65536):
            if made and chunk.startswith((b"POST ", b"PUT ")):
                made.reached.set()
                made.opened.wait()
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)


def flip(folder: Path, digest: str) -> None:
    """Turn a byte over in the middle of a blob that a registry keeps below `folder`."""
    (blob,) = folder.rglob(f"blobs/sha256/*/{digest.removeprefix('sha256:')}/data")
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.write_bytes(content)


def push_base(host: str) -> str:
    """Push an empty base image; returns its reference by digest."""
    return f"{host}/tests/base@{push(host, 'tests/base', 'base')}"


def push(host: str, repository: str, content: str, *tags: str) -> str:
    """Push an image that differs by `content` under each tag; returns its digest."""
    image = Image("linux/amd64", (), ImageConfig(labels={"content": content}))
    return push_image(image, Registry(host), repository, tags)
