"""What earlier pushes found out: the digest of contents that nobody touched since, and where a registry has a blob."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from model_build.hashing import hash_value
from model_build.oci.descriptor import DIGEST
from model_build.oci.layer import Contents, Layer

# A file may be written twice within one tick of the file system's clock, and its time would not tell.
TICK_NS = 100_000_000
MOST_REPOSITORIES = 4


@dataclass(frozen=True)
class Memory:
    """A folder of small files; one that is missing or damaged is as good as none. Without a folder nothing is kept."""

    folder: Path | None

    def layer(self, contents: Contents) -> Layer | None:
        """Return the layer that `contents` were when they were last read; None where nothing is known."""
        text = self._read(self._digest_of(contents))
        return Layer(text, contents) if text and DIGEST.fullmatch(text) else None

    def keep(self, layer: Layer) -> None:
        """Remember the digest of contents that were just read, unless they are so young that they may differ."""
        if time.time_ns() - layer.contents.touched_ns > TICK_NS:
            self._write(self._digest_of(layer.contents), layer.digest)
        self._write(self._shape_of(layer.contents), layer.digest)

    def knows_shape(self, contents: Contents) -> bool:
        """Return whether contents of the same names and sizes were pushed before."""
        return self._read(self._shape_of(contents)) is not None

    def forget(self, contents: Contents) -> None:
        """Drop what is remembered of `contents`."""
        if self.folder:
            (self.folder / self._digest_of(contents)).unlink(missing_ok=True)

    def repositories(self, host: str, digest: str) -> tuple[str, ...]:
        """Return repositories of the registry `host` that had the blob, the latest first."""
        with contextlib.suppress(ValueError):
            found = json.loads(self._read(self._places_of(host, digest)) or "[]")
            return tuple(map(str, found)) if isinstance(found, list) else ()
        return ()

    def keep_place(self, host: str, digest: str, repository: str) -> None:
        """Remember that a repository of `host` has the blob."""
        before = self.repositories(host, digest)
        if before[:1] != (repository,):
            named = [repository, *(one for one in before if one != repository)][:MOST_REPOSITORIES]
            self._write(self._places_of(host, digest), json.dumps(named))

    @staticmethod
    def _digest_of(contents: Contents) -> str:
        return f"digests/{contents.identity}"

    @staticmethod
    def _shape_of(contents: Contents) -> str:
        return f"shapes/{contents.shape}"

    @staticmethod
    def _places_of(host: str, digest: str) -> str:
        return f"places/{hash_value([host, digest])}"

    def _read(self, name: str) -> str | None:
        if self.folder is None:
            return None
        try:
            return (self.folder / name).read_text()
        except (OSError, UnicodeDecodeError):
            return None

    def _write(self, name: str, text: str) -> None:
        # What cannot be kept costs time at the next push, and no more.
        if self.folder is None:
            return
        with contextlib.suppress(OSError):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
            part.write_text(text)
            part.rename(path)


NOTHING = Memory(None)
