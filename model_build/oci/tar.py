"""Tar streams that are the same bytes on every machine, and that can be read from any byte on."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

CHUNK = 1024 * 1024
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
    def folder(cls, path: str, mode: int = 0o755) -> Entry:
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

    def owned(self, owner: int) -> Entry:
        """Return the entry with another owner and group."""
        return replace(self, uid=owner, gid=owner)


@dataclass(frozen=True)
class _Part:
    """Bytes of a stream: in memory, or the first `size` of a file."""

    size: int
    content: bytes | Path

    def read(self, start: int) -> Iterator[bytes]:
        """Yield from the byte `start` on; raises OSError where the file is shorter by now."""
        if isinstance(self.content, bytes):
            yield self.content[start:]
            return
        with self.content.open("rb", buffering=0) as stream:
            stream.seek(start)
            left = self.size - start
            while left:
                chunk = stream.read(min(CHUNK, left))
                if not chunk:
                    raise OSError(f"{self.content} lost {left} bytes")
                left -= len(chunk)
                yield chunk


def size_of(entries: Iterable[Entry]) -> int:
    """Return the bytes of the stream; reads no content."""
    return sum(part.size for part in _parts(entries))


def stream(entries: Iterable[Entry], start: int = 0) -> Iterator[bytes]:
    """Yield the stream from the byte `start` on, in chunks; raises OSError where a file got shorter."""
    # Thousands of small files would be as many small writes to the registry.
    gathered = bytearray()
    for part in _parts(entries):
        if start >= part.size:
            start -= part.size
            continue
        for chunk in part.read(start):
            if not gathered and len(chunk) >= CHUNK:
                yield chunk
                continue
            gathered += chunk
            if len(gathered) >= CHUNK:
                yield bytes(gathered)
                gathered.clear()
        start = 0
    if gathered:
        yield bytes(gathered)


def _parts(entries: Iterable[Entry]) -> Iterator[_Part]:
    for entry in entries:
        size = entry.size
        header = _header(entry, size)
        yield _Part(len(header), header)
        if size:
            yield _Part(size, entry.content or b"")
        if size % _BLOCK:
            yield _Part(_BLOCK - size % _BLOCK, bytes(_BLOCK - size % _BLOCK))
    yield _Part(2 * _BLOCK, bytes(2 * _BLOCK))


def _header(entry: Entry, size: int) -> bytes:
    header = tarfile.TarInfo(entry.name)
    header.size, header.mode, header.uid, header.gid = size, entry.mode, entry.uid, entry.gid
    header.mtime = 0
    if entry.target is not None:
        header.type, header.linkname = tarfile.SYMTYPE, entry.target
    elif entry.content is None:
        header.type = tarfile.DIRTYPE
    return header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
