"""Layers: tar streams that are the same bytes on every machine.

A layer is never compressed: its digest does not hang on a zlib version, weights hardly shrink, and it goes from the
files on disk to the registry in one stream, without a copy on disk or in memory.
"""

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from model_build.oci.descriptor import TAR, Descriptor

CHUNK = 1024 * 1024
OWN_LAYER_BYTES = 64 * 1024 * 1024
NOBODY = 65532
_BLOCK = 512


@dataclass(frozen=True)
class Entry:
    """One name in a layer: a file (`content`: bytes or a path on disk), a symlink (`target`), or else a folder."""

    path: str
    content: bytes | Path | None = None
    target: str | None = None
    mode: int = 0o644
    uid: int = NOBODY
    gid: int = NOBODY

    @classmethod
    def folder(cls, path: str, mode: int = 0o755) -> "Entry":
        """Return a folder."""
        return cls(path, mode=mode)

    @property
    def name(self) -> str:
        """The path as the tar holds it: relative, without `.` or doubled slashes."""
        return PurePosixPath("/", self.path).relative_to("/").as_posix()

    @property
    def size(self) -> int:
        """Bytes of the content."""
        if isinstance(self.content, Path):
            return self.content.stat().st_size
        return len(self.content or b"")

    def owned(self, owner: int) -> "Entry":
        """Return the entry with another owner and group."""
        return replace(self, uid=owner, gid=owner)


@dataclass(frozen=True)
class Layer:
    """A tar stream by digest; `open` makes it again from its entries."""

    digest: str
    size: int
    entries: tuple[Entry, ...]
    media_type: str = TAR

    @property
    def diff_id(self) -> str:
        """Digest of the uncompressed stream, which is the stream itself."""
        return self.digest

    @property
    def descriptor(self) -> Descriptor:
        """What a manifest says of this layer."""
        return Descriptor(self.media_type, self.digest, self.size)

    def open(self) -> Iterator[bytes]:
        """Yield the stream in chunks; raises ValueError where a file changed its size meanwhile."""
        return _stream(self.entries)


def entries_layer(entries: Iterable[Entry]) -> Layer:
    """Return one layer of `entries`, sorted; raises ValueError for a name that stands twice or lies not below /."""
    ordered = tuple(sorted(entries, key=lambda entry: entry.name))
    for before, entry in zip((None, *ordered), ordered, strict=False):
        if entry.name == "." or ".." in PurePosixPath(entry.name).parts:
            raise ValueError(f"layer: {entry.path!r} is no path inside the image; name one below /")
        if before is not None and before.name == entry.name:
            raise ValueError(f"layer: {entry.path!r} stands twice; name it once")
    digest, size = hashlib.sha256(), 0
    for chunk in _stream(ordered):
        digest.update(chunk)
        size += len(chunk)
    return Layer(f"sha256:{digest.hexdigest()}", size, ordered)


def folder_entries(folder: Path, at: str) -> list[Entry]:
    """Return what lies below `folder`, placed at `at`: modes 0755 or 0644, owner 65532; symlinks stay symlinks."""
    found = [Entry.folder(at)]
    for path in _walk(folder):
        mode = 0o755 if path.lstat().st_mode & stat.S_IXUSR else 0o644
        found.append(_entry(path, f"{at}/{path.relative_to(folder).as_posix()}", mode))
    return found


def folder_layers(folder: Path, at: str, own_layer_bytes: int = OWN_LAYER_BYTES) -> tuple[Layer, ...]:
    """Return a bundle of the small files, then one layer for each file of `own_layer_bytes` or more."""
    entries = folder_entries(folder, at)
    big = [entry for entry in entries if entry.size >= own_layer_bytes]
    bundle = entries_layer(entry for entry in entries if entry.size < own_layer_bytes)
    return (bundle, *(entries_layer([entry]) for entry in big))


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


def _stream(entries: Iterable[Entry]) -> Iterator[bytes]:
    # Thousands of small files would be as many small writes to the registry.
    gathered = bytearray()
    for part in _parts(entries):
        gathered += part
        if len(gathered) >= CHUNK:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


def _parts(entries: Iterable[Entry]) -> Iterator[bytes]:
    for entry in entries:
        size = entry.size
        yield _header(entry, size)
        yield from _content(entry, size)
        if size % _BLOCK:
            yield bytes(_BLOCK - size % _BLOCK)
    yield bytes(2 * _BLOCK)


def _header(entry: Entry, size: int) -> bytes:
    header = tarfile.TarInfo(entry.name)
    header.size, header.mode, header.uid, header.gid = size, entry.mode, entry.uid, entry.gid
    header.mtime = 0
    if entry.target is not None:
        header.type, header.linkname = tarfile.SYMTYPE, entry.target
    elif entry.content is None:
        header.type = tarfile.DIRTYPE
    return header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _content(entry: Entry, size: int) -> Iterator[bytes]:
    if not isinstance(entry.content, Path):
        yield entry.content or b""
        return
    left = size
    with entry.content.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            left -= len(chunk)
            yield chunk
    if left:
        raise ValueError(f"layer: {entry.content} changed its size while it was read; leave it alone and run again")
