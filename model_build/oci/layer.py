"""Layers: what lies in them, and which bytes they are.

A layer is never compressed: its digest does not hang on a zlib version, weights hardly shrink, and it goes from the
files on disk to the registry in one stream, without a copy on disk or in memory.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from model_build.errors import DataError
from model_build.hashing import hash_value
from model_build.oci import tar
from model_build.oci.descriptor import TAR, Descriptor
from model_build.oci.tar import Entry

# A name that begins so takes a file of the layers below away (OCI image specification, layer.md).
WHITEOUT = ".wh."
OWN_LAYER_BYTES = 64 * 1024 * 1024
# Part of what a remembered digest is found by: raise it where the same entries become other bytes.
PACKER = 1


@dataclass(frozen=True)
class Contents:
    """What will be a layer: its entries in order and the bytes they come to; the digest is not known before a read.

    `identity` hashes what the entries' files are told apart by without reading them.
    """

    entries: tuple[Entry, ...]
    size: int
    identity: str

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Contents:
        """Return the contents, sorted; raises ValueError for a name that stands twice, leaves / or is a whiteout."""
        ordered = tuple(sorted(entries, key=lambda entry: entry.name))
        for before, entry in zip((None, *ordered), ordered, strict=False):
            if entry.name == "." or ".." in PurePosixPath(entry.name).parts:
                raise ValueError(f"layer: {entry.path!r} is no path inside the image; name one below /")
            if any(part.startswith(WHITEOUT) for part in PurePosixPath(entry.name).parts):
                raise ValueError(f"layer: {entry.path!r} begins with {WHITEOUT}, which removes files; rename it")
            if before is not None and before.name == entry.name:
                raise ValueError(f"layer: {entry.path!r} stands twice; name it once")
        return cls(ordered, tar.size_of(ordered), _identity(ordered))

    def open(self, start: int = 0) -> Iterator[bytes]:
        """Yield the tar stream from the byte `start` on; raises DataError where a file was touched meanwhile."""
        try:
            yield from tar.stream(self.entries, start)
            same = _identity(self.entries) == self.identity
        except OSError as error:
            raise DataError(f"layer: {error}; leave the files alone and run again") from error
        if not same:
            raise DataError(f"layer: {self._first} or one beside it was written to; leave them alone and run again")

    def read(self) -> Layer:
        """Return the layer, which reading every file tells the digest of."""
        digest = hashlib.sha256()
        for chunk in self.open():
            digest.update(chunk)
        return Layer(f"sha256:{digest.hexdigest()}", self)

    @property
    def shape(self) -> str:
        """A hash of the names and sizes alone."""
        return hash_value([[entry.name, entry.size] for entry in self.entries])

    @property
    def touched_ns(self) -> int:
        """When the youngest of the files was last written, in nanoseconds since the epoch; 0 without files."""
        return max((path.stat().st_mtime_ns for path in self._files), default=0)

    @property
    def _files(self) -> Iterator[Path]:
        return (entry.content for entry in self.entries if isinstance(entry.content, Path))

    @property
    def _first(self) -> str:
        return str(next(self._files, "a file"))


@dataclass(frozen=True)
class Layer:
    """Contents by digest."""

    digest: str
    contents: Contents
    media_type: str = TAR

    @property
    def size(self) -> int:
        """Bytes of the stream."""
        return self.contents.size

    @property
    def diff_id(self) -> str:
        """Digest of the uncompressed stream, which is the stream itself."""
        return self.digest

    @property
    def descriptor(self) -> Descriptor:
        """What a manifest says of this layer."""
        return Descriptor(self.media_type, self.digest, self.size)

    def open(self, start: int = 0) -> Iterator[bytes]:
        """Yield the stream from the byte `start` on."""
        return self.contents.open(start)


def entries_layer(entries: Iterable[Entry]) -> Layer:
    """Return one layer of `entries`; reads them."""
    return Contents.of(entries).read()


def folder_entries(folder: Path, at: str) -> list[Entry]:
    """Return what lies below `folder`, placed at `at`: modes 0755 or 0644, owner 65532; symlinks stay symlinks."""
    found = [Entry.folder(at)]
    for path in _walk(folder):
        mode = 0o755 if path.lstat().st_mode & stat.S_IXUSR else 0o644
        found.append(_entry(path, f"{at}/{path.relative_to(folder).as_posix()}", mode))
    return found


def folder_contents(folder: Path, at: str, own_layer_bytes: int = OWN_LAYER_BYTES) -> tuple[Contents, ...]:
    """Return what lies below `folder`, packed."""
    return packed(folder_entries(folder, at), own_layer_bytes)


def packed(entries: Iterable[Entry], own_layer_bytes: int = OWN_LAYER_BYTES) -> tuple[Contents, ...]:
    """Return a bundle of the small entries, then each of `own_layer_bytes` or more by itself, sorted by name."""
    small: list[Entry] = []
    large: list[Entry] = []
    for entry in sorted(entries, key=lambda one: one.name):
        (large if entry.size >= own_layer_bytes else small).append(entry)
    return (Contents.of(small), *(Contents.of([entry]) for entry in large))


def tree_layer(folder: Path) -> Layer:
    """Return a root file system's layer: modes and symlinks kept, owner 0.

    Devices, pipes and sockets are left out (a runtime makes /dev itself); a hard link becomes a file of its own.
    """
    return entries_layer(
        _entry(path, path.relative_to(folder).as_posix(), stat.S_IMODE(path.lstat().st_mode)).owned(0)
        for path in _walk(folder)
    )


def _walk(folder: Path) -> Iterator[Path]:
    """Yield folders, plain files and symlinks below `folder`; links to folders are not followed."""
    for parent, folders, files in os.walk(folder, onerror=_raise):
        for name in (*folders, *files):
            path = Path(parent, name)
            kind = stat.S_IFMT(path.lstat().st_mode)
            if kind in (stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK):
                yield path


def _raise(error: OSError) -> None:
    raise error


def _entry(path: Path, at: str, mode: int) -> Entry:
    if path.is_symlink():
        return Entry(at, target=os.readlink(path), mode=0o777)  # noqa: PTH115 (Path.readlink rewrites the text)
    if path.is_dir():
        return Entry.folder(at, mode)
    return Entry(at, content=path, mode=mode)


def _identity(entries: Iterable[Entry]) -> str:
    return hash_value([PACKER, [_told_apart(entry) for entry in entries]])


def _told_apart(entry: Entry) -> list[str | int | None]:
    named = [entry.name, entry.target, entry.mode, entry.uid, entry.gid]
    if isinstance(entry.content, Path):
        found = entry.content.stat()
        return [*named, str(entry.content.absolute()), found.st_size, found.st_mtime_ns, found.st_ino]
    return [*named, None if entry.content is None else hashlib.sha256(entry.content).hexdigest()]
