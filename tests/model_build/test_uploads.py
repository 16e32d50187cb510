"""Pushes that are cut off on their way to the real registry, or meet limits there."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from model_build.errors import DataError, RegistryError
from model_build.oci import push as pushing
from model_build.oci import transport, upload
from model_build.oci.image import Draft, Image, ImageConfig
from model_build.oci.layer import Contents, entries_layer
from model_build.oci.memory import Memory
from model_build.oci.pull import pull_base
from model_build.oci.push import Target, push, push_draft
from model_build.oci.reference import Reference
from model_build.oci.registry import Registry
from model_build.oci.tar import Entry
from model_build.places import ROOT
from tests.model_build.faulty import way

SIZE = 8_000_000
CUT_AFTER = 1_000_000
BLOCK = 65536
LARGEST_PIECE = 3_000_000


@dataclass
class Line:
    """A line to a registry on which the first `cuts` uploads break after `after` bytes."""

    upstream: str
    cuts: int
    after: int
    made: int = 0
    sent: int = 0
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
            if block.startswith((b"GET ", b"HEAD ", b"POST ", b"PUT ", b"PATCH ")):
                sends = block.startswith((b"PUT ", b"PATCH ")) and b"/blobs/uploads/" in block
                uploaded = 0 if sends else -1
            if uploaded >= 0:
                uploaded += len(block)
            if uploaded > self.after and self._cuts():
                return
            self.sent += len(block)
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
def line(upstream: str, cuts: int, after: int = CUT_AFTER) -> Iterator[tuple[str, Line]]:
    """Yield the host of a line to `upstream`, and the line."""
    found = Line(upstream, cuts, after)
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
    monkeypatch.setattr(upload, "LARGEST_PIECE", LARGEST_PIECE)
    monkeypatch.setattr(pushing, "OWN_LAYER_BYTES", SIZE)


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """An image that no other test pushes."""
    weights = tmp_path / "weights"
    weights.write_bytes(os.urandom(SIZE))
    return Image("linux/amd64", (entries_layer([Entry("weights", weights)]),), ImageConfig(user="1:1"))


def test_an_upload_that_is_cut_off_goes_on_where_it_was(
    image: Image, host: str, registry: Registry, repository: str
) -> None:
    after = 6_000_000
    with line(host, 1, after) as (cut_host, found):
        push(image, Registry(cut_host), repository, ["v1"])
    assert found.made == 1
    assert found.sent < after + SIZE - CUT_AFTER  # the registry keeps what it had written by then
    layer = image.layers[0]
    assert b"".join(registry.stream(repository, layer.digest)) == b"".join(layer.open())
    assert registry.tags(repository) == ["v1"]


def test_what_was_never_read_is_hashed_once_although_it_is_cut_off_many_times(
    image: Image, host: str, registry: Registry, repository: str
) -> None:
    with line(host, 5, 1_200_000) as (cut_host, found):
        made = push_draft(image.draft, Target(Registry(cut_host), repository), ["v1"])
    assert found.made == 5
    assert made.digest == image.digest
    assert b"".join(registry.stream(repository, made.layers[0].digest)) == b"".join(image.layers[0].open())


@pytest.mark.parametrize("known", [True, False])
def test_an_upload_that_is_always_cut_off_ends_after_the_bounded_tries_and_leaves_no_tag(
    image: Image, host: str, registry: Registry, repository: str, known: bool
) -> None:
    with line(host, 100, 0) as (cut_host, found):  # noqa: SIM117
        with pytest.raises(RegistryError, match=r"(PUT|PATCH) /v2/.*/blobs/uploads/\S+ does not answer"):
            push_draft(image.draft, Target(Registry(cut_host), repository), ["v1"], layers=image.layers * known)
    assert found.made == transport.TRIES
    assert registry.tags(repository) == []
    assert registry.head(repository, image.digest) is None


def test_layers_are_on_their_way_four_at_a_time(tmp_path: Path, registry: Registry, repository: str) -> None:
    meeting = threading.Barrier(4)

    class Waiting(Contents):
        """Contents that are sent once three others are on their way too."""

        def open(self, start: int = 0) -> Iterator[bytes]:
            meeting.wait(20)
            return super().open(start)

    contents = []
    for number in range(8):
        (tmp_path / f"{number}").write_bytes(os.urandom(1000))
        one = Contents.of([Entry(f"{number}", tmp_path / f"{number}")])
        contents.append(Waiting(one.entries, one.size, one.identity))
    image = push_draft(Draft("linux/amd64", tuple(contents)), Target(registry, repository))
    assert all(registry.has_blob(repository, layer.digest) for layer in image.layers)


def test_a_fault_of_one_layer_ends_the_others_at_their_next_chunk(
    tmp_path: Path, registry: Registry, repository: str
) -> None:
    (tmp_path / "endless").write_bytes(b"")
    one = Contents.of([Entry("endless", tmp_path / "endless")])
    began = threading.Event()

    class Endless(Contents):
        def open(self, start: int = 0) -> Iterator[bytes]:  # noqa: ARG002
            while True:
                began.set()
                yield bytes(1000)

    class Broken(Contents):
        def open(self, start: int = 0) -> Iterator[bytes]:  # noqa: ARG002
            began.wait(20)
            raise DataError("layer: gone")
            yield b""

    draft = Draft(
        "linux/amd64", (Endless(one.entries, 1 << 50, one.identity), Broken(one.entries, one.size, "another"))
    )
    with pytest.raises(DataError, match="layer: gone"):
        push_draft(draft, Target(registry, repository), ["v1"])
    assert registry.tags(repository) == []


def test_a_base_layer_of_the_same_registry_is_mounted_and_never_sent(
    image: Image, host: str, registry: Registry, repository: str
) -> None:
    push(image, registry, f"{repository}-base")
    base = pull_base(registry, Reference(host, f"{repository}-base", digest=image.digest), "linux/amd64")
    with line(host, 0) as (counted_host, found):
        near = replace(base, reference=replace(base.reference, host=counted_host))
        push(Image("linux/amd64", (), ImageConfig(), near), Registry(counted_host), repository, ["v1"])
    assert found.sent < SIZE / 100
    assert registry.has_blob(repository, image.layers[0].digest)


def test_a_layer_that_an_earlier_push_brought_to_another_repository_is_mounted_and_never_sent(
    image: Image, host: str, registry: Registry, repository: str, tmp_path: Path
) -> None:
    memory = Memory(tmp_path / "memory")
    os.utime(tmp_path / "weights", (1, 1))
    draft = Draft("linux/amd64", (Contents.of([Entry("weights", tmp_path / "weights")]),), image.config)
    with line(host, 0) as (counted_host, found):
        push_draft(draft, Target(Registry(counted_host), f"{repository}-first", memory=memory))
        before = found.sent
        push_draft(draft, Target(Registry(counted_host), repository, memory=memory), ["v1"])
    assert found.sent - before < SIZE / 100
    assert registry.has_blob(repository, image.layers[0].digest)


def test_an_image_that_is_there_takes_one_question(image: Image, host: str, repository: str, tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory")
    os.utime(tmp_path / "weights", (1, 1))
    draft = Draft("linux/amd64", (Contents.of([Entry("weights", tmp_path / "weights")]),), image.config)
    push_draft(draft, Target(Registry(host), repository, memory=memory))
    with way(host) as (counted_host, found):
        push_draft(draft, Target(Registry(counted_host), repository, memory=memory))
    assert [one.partition(" ")[0] for one in found.seen] == ["HEAD"]


@pytest.mark.parametrize("known", [True, False])
def test_a_registry_that_takes_no_large_bodies_gets_pieces(
    image: Image, host: str, registry: Registry, repository: str, known: bool
) -> None:
    with way(host) as (limited, found):
        found.largest = LARGEST_PIECE
        push_draft(image.draft, Target(Registry(limited), repository), layers=image.layers * known)
    assert len([one for one in found.seen if one.startswith("PATCH")]) >= 3
    layer = image.layers[0]
    assert b"".join(registry.stream(repository, layer.digest)) == b"".join(layer.open())


def test_pieces_are_no_smaller_than_the_registry_takes(
    image: Image, host: str, registry: Registry, repository: str
) -> None:
    with way(host) as (limited, found):
        found.largest, found.least = 5_000_000, 4_000_000
        push_draft(image.draft, Target(Registry(limited), repository))
    sizes = [size for one, size in zip(found.seen, found.sizes, strict=True) if one.startswith("PATCH")]
    assert sizes[1:] == [4_000_000, 4_000_000, image.layers[0].size - 8_000_000]
    assert registry.has_blob(repository, image.layers[0].digest)


KILLED = """
import os, signal, sys
from pathlib import Path
from model_build.oci.image import Image, ImageConfig
from model_build.oci.layer import entries_layer
from model_build.oci.tar import Entry
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
