"""numpy archives with the same bytes each time: sorted names, fixed times, no compression."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_EPOCH = (1980, 1, 1, 0, 0, 0)


def save(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write `arrays` to `path`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(arrays[name]), version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, buffer.getbuffer())


def load(path: Path) -> dict[str, NDArray[np.generic]]:
    """Return the arrays at `path`; pickled objects are refused with ValueError."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
