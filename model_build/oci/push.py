"""Pushes an image so that a tag never names an incomplete one: layers side by side, configuration, manifest, tags."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

from model_build.errors import CancelledError, DataError, RegistryError
from model_build.oci.descriptor import Descriptor
from model_build.oci.image import Base, Draft, Image
from model_build.oci.layer import OWN_LAYER_BYTES, Contents, Layer
from model_build.oci.memory import NOTHING, Memory
from model_build.oci.mirrors import Source
from model_build.oci.registry import Registry
from model_build.oci.transport import AT_ONCE
from model_build.oci.upload import Content, Upload, put_blob
from model_build.oci.uploads import Place

Told = Callable[[int, int], None]


def _untold(_done: int, _whole: int) -> None:
    return


@dataclass(frozen=True)
class Target:
    """Where an image goes; `source` is where its base lies, if elsewhere, `memory` what earlier pushes found out."""

    registry: Registry
    repository: str
    source: Source | None = None
    memory: Memory | None = None


def push(image: Image, registry: Registry, repository: str, tags: Iterable[str] = ()) -> str:
    """Push an image whose layers have been read and return its digest."""
    return push_draft(image.draft, Target(registry, repository), tags, layers=image.layers).digest


def push_draft(
    draft: Draft, to: Target, tags: Iterable[str] = (), told: Told = _untold, layers: tuple[Layer, ...] = ()
) -> Image:
    """Push what is missing and return the image: blobs, then the manifest, then the tags.

    Contents of unknown digest are read once, as they are sent; `layers` are those that are known. `told` gets the
    bytes done and their sum. Raises RegistryError, and DataError where a file changed meanwhile.
    """
    known = layers or _remembered(draft, to.memory or NOTHING)
    image = draft.image(known) if known else None
    if image is None or to.registry.head(to.repository, image.digest) is None:
        image = draft.image(_sent(draft, to, told, known))
        put_blob(to.registry, to.repository, image.config_bytes)
        to.registry.put(to.repository, image.digest, image.manifest_bytes)
    for tag in tags:
        to.registry.put(to.repository, tag, image.manifest_bytes)
    return image


def _remembered(draft: Draft, memory: Memory) -> tuple[Layer, ...]:
    """Return every layer of the draft, or nothing where one is not known."""
    found = [memory.layer(one) for one in draft.contents]
    return tuple(one for one in found if one) if all(found) else ()


def _sent(draft: Draft, to: Target, told: Told, known: tuple[Layer, ...]) -> tuple[Layer, ...]:
    progress = _Progress(told, draft.size)
    named = {layer.contents.identity: layer.digest for layer in known}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        carried = [pool.submit(_carry, one, draft.base, to, progress) for one in draft.carried]
        own = [pool.submit(_send, one, named.get(one.identity), to, progress) for one in draft.contents]
        sending: list[Future[Any]] = [*carried, *own]
        try:
            for one in as_completed(sending):
                one.result()
        except BaseException:
            progress.stop(pool)
            raise
        return tuple(one.result() for one in own)


@dataclass
class _Progress:
    """The bytes of the whole that are done, over all that is on its way; once stopped it ends what it counts."""

    told: Told
    whole: int
    done: dict[str, int] = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reach(self, name: str, size: int) -> None:
        """Count `size` bytes of one blob as done; raises CancelledError once stopped."""
        if self.stopped.is_set():
            raise CancelledError("push: was stopped; run it again, what has arrived is kept")
        with self.lock:
            self.done[name] = size
            self.told(sum(self.done.values()), self.whole)

    def stop(self, pool: ThreadPoolExecutor) -> None:
        """End what is on its way at its next chunk, and begin nothing more."""
        self.stopped.set()
        pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class _Counted:
    """Content that tells how far it was read."""

    content: Content
    name: str
    progress: _Progress

    @property
    def size(self) -> int:
        return self.content.size

    def open(self, start: int = 0) -> Iterator[bytes]:
        at = start
        for chunk in self.content.open(start):
            yield chunk
            at += len(chunk)
            self.progress.reach(self.name, at)


def _send(contents: Contents, digest: str | None, to: Target, progress: _Progress) -> Layer:
    """Bring one layer into the repository: it is there, or mounted, or streamed."""
    memory = to.memory or NOTHING
    known = Layer(digest, contents) if digest else memory.layer(contents) or _read_first(contents, memory)
    counted = _Counted(contents, contents.identity, progress)
    if known is None:
        layer = Layer(Upload(to.registry, to.repository, counted).run(), contents)
    else:
        layer = known
        found = _there_or_place(layer.digest, to)
        if found is not True:
            _stream(Upload(to.registry, to.repository, counted, layer.digest, found or None), memory, contents)
    memory.keep(layer)
    memory.keep_place(to.registry.host, layer.digest, to.repository)
    progress.reach(contents.identity, contents.size)
    return layer


def _read_first(contents: Contents, memory: Memory) -> Layer | None:
    """Return the layer of contents that the registry may have, although their files are new; else None.

    To read what is small, or was pushed with other bytes or times before, costs less than to send it in vain.
    """
    if contents.size >= OWN_LAYER_BYTES and not memory.knows_shape(contents):
        return None
    return contents.read()


def _there_or_place(digest: str, to: Target, *further: str) -> bool | Place:
    """Return True where the repository has the blob by now, a place for it, or False where one is to be opened."""
    if to.registry.has_blob(to.repository, digest):
        return True
    known = (to.memory or NOTHING).repositories(to.registry.host, digest)
    others = (one for one in (*further, *known) if one != to.repository)
    source = next(others, None)
    if source is None:
        return False
    return to.registry.uploads.mount(to.repository, digest, source) or True


def _stream(upload: Upload, memory: Memory, contents: Contents) -> None:
    try:
        upload.run()
    except RegistryError as error:
        memory.forget(contents)
        if contents.read().digest == upload.digest:
            raise
        raise DataError(
            f"layer: its files changed their bytes but neither size nor time since {upload.digest} was read of them; "
            "run again"
        ) from error


@dataclass(frozen=True)
class Elsewhere:
    """A blob of another registry or repository."""

    registry: Source
    repository: str
    blob: Descriptor

    @property
    def size(self) -> int:
        """How many bytes its manifest says."""
        return self.blob.size

    def open(self, start: int = 0) -> Iterator[bytes]:
        """Yield them from the byte `start` on."""
        at = 0
        for chunk in self.registry.stream(self.repository, self.blob.digest):
            if at + len(chunk) > self.size:
                raise RegistryError(
                    f"base {self.repository}: {self.blob.digest} is longer than the {self.size} bytes that its "
                    "manifest says; push it again"
                )
            if at + len(chunk) > start:
                yield chunk[max(0, start - at) :]
            at += len(chunk)


def _carry(one: Descriptor, base: Base | None, to: Target, progress: _Progress) -> None:
    """Bring one layer of the base: it is there, or mounted from the base's repository, or copied."""
    if base is None:
        return
    repository = base.reference.repository
    here = base.reference.host == to.registry.host
    found = _there_or_place(one.digest, to, *((repository,) if here else ()))
    if found is not True:
        origin = to.source or Source((Registry(base.reference.host) if not here else to.registry,))
        counted = _Counted(Elsewhere(origin, repository, one), one.digest, progress)
        Upload(to.registry, to.repository, counted, one.digest, found or None).run()
    progress.reach(one.digest, one.size)
