"""Pushes that are cut off on their way to the real registry."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from model_build.errors import RegistryError
from model_build.oci import transport
from model_build.oci.image import Image, ImageConfig
from model_build.oci.layer import Entry, entries_layer
from model_build.oci.push import pull_base, push
from model_build.oci.reference import Reference
from model_build.oci.registry import Registry
from model_build.places import ROOT

SIZE = 8_000_000
CUT_AFTER = 1_000_000
BLOCK = 65536


@dataclass
class Line:
    """A line to a registry on which the first `cuts` uploads break after CUT_AFTER bytes."""

    upstream: str
    cuts: int
    made: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def carry(self, client: socket.socket) -> None:
        name, _, port = self.upstream.partition(":")
        server = socket.create_connection((name, int(port)))
        back = threading.Thread(target=_copy, args=(server, client))
        back.start()
        with suppress(OSError):
            self._forward(client, server)
        for end in (server, client):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        back.join()
        server.close()
        client.close()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        uploaded = -1
        while block := client.recv(BLOCK):
            if block.startswith((b"GET ", b"HEAD ", b"POST ", b"PUT ")):
                uploaded = 0 if block.startswith(b"PUT ") and b"/blobs/uploads/" in block else -1
            if uploaded >= 0:
                uploaded += len(block)
            if uploaded > CUT_AFTER and self._cuts():
                return
            server.sendall(block)

    def _cuts(self) -> bool:
        with self.lock:
            if self.made == self.cuts:
                return False
            self.made += 1
            return True


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(BLOCK):
            target.sendall(block)


@contextmanager
def line(upstream: str, cuts: int) -> Iterator[tuple[str, Line]]:
    """Yield the host of a line to `upstream`, and the line."""
    found = Line(upstream, cuts)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        carriers: list[threading.Thread] = []
        clients: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                clients.append(client)
                carriers.append(threading.Thread(target=found.carry, args=(client,)))
                carriers[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}", found
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            # The client keeps its connections open for the next request.
            for client in clients:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
            for one in carriers:
                one.join()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PAUSE_SECONDS", 0.0)


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """An image that no other test pushes."""
    weights = tmp_path / "weights"
    weights.write_bytes(os.urandom(SIZE))
    return Image("linux/amd64", (entries_layer([Entry("weights", weights)]),), ImageConfig(user="1:1"))


def test_an_upload_that_is_cut_off_begins_anew(image: Image, host: str, registry: Registry, repository: str) -> None:
    with line(host, 1) as (cut_host, found):
        push(image, Registry(cut_host), repository, ["v1"])
    assert found.made == 1
    layer = image.layers[0]
    assert b"".join(registry.stream(repository, layer.digest)) == b"".join(layer.open())
    assert registry.tags(repository) == ["v1"]


def test_an_upload_that_is_always_cut_off_ends_after_the_bounded_tries_and_leaves_no_tag(
    image: Image, host: str, registry: Registry, repository: str
) -> None:
    with line(host, 100) as (cut_host, found):  # noqa: SIM117
        with pytest.raises(RegistryError, match=r"PUT /v2/.*/blobs/uploads/\S+ does not answer"):
            push(image, Registry(cut_host), repository, ["v1"])
    assert found.made == transport.TRIES
    assert registry.tags(repository) == []
    assert registry.head(repository, image.digest) is None


class Unfed(Registry):
    """A registry to which no layer can be sent."""

    def upload(self, repository: str, digest: str, size: int, chunks: Callable[[], Iterable[bytes]]) -> None:
        if size > CUT_AFTER:
            raise AssertionError(f"{digest} was sent")
        super().upload(repository, digest, size, chunks)


def test_a_base_layer_of_the_same_registry_is_mounted_and_never_sent(
    image: Image, host: str, registry: Registry, repository: str
) -> None:
    push(image, registry, f"{repository}-base")
    base = pull_base(registry, Reference(host, f"{repository}-base", digest=image.digest), "linux/amd64")
    push(Image("linux/amd64", (), ImageConfig(), base), Unfed(host), repository, ["v1"])
    assert registry.has_blob(repository, image.layers[0].digest)


KILLED = """
import os, signal, sys
from pathlib import Path
from model_build.oci.image import Image, ImageConfig
from model_build.oci.layer import Entry, entries_layer
from model_build.oci.push import push
from model_build.oci.registry import Registry
host, repository, weights = sys.argv[1:]
registry = Registry(host)
registry.put = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
image = Image("linux/amd64", (entries_layer([Entry("weights", Path(weights))]),), ImageConfig(user="1:1"))
push(image, registry, repository, ["v1"])
"""


def test_a_push_killed_before_its_manifest_leaves_no_tag_and_the_next_one_completes_it(
    image: Image, host: str, registry: Registry, repository: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", KILLED, host, repository, str(tmp_path / "weights")]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert registry.has_blob(repository, image.layers[0].digest)
    assert registry.tags(repository) == []
    push(image, registry, repository, ["v1"])
    found = registry.get(repository, "v1")
    assert found is not None
    assert found.digest == image.digest
