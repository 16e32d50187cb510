"""Data packages, with a stand-in for npm on PATH that packs a given archive and counts its runs."""

import base64
import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from model_build import packages
from model_build.cache import StepStore
from model_build.errors import DataError, EnvironmentFault
from model_build.recipe_sources import InstalledSource, NpmSource

NPM = """#!/bin/sh
echo run >> "{folder}/runs"
for last; do :; done
cp "{folder}/served.tgz" "$last/data-1.0.0.tgz" || exit 1
"""


class Npm:
    """What the stand-in serves, and how often it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.serve("data")

    def serve(self, text: str, name: str = "package/data.txt") -> None:
        with tarfile.open(self.folder / "served.tgz", "w:gz") as tar:
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))

    @property
    def sha512(self) -> str:
        return base64.b64encode(hashlib.sha512((self.folder / "served.tgz").read_bytes()).digest()).decode()

    @property
    def source(self) -> NpmSource:
        return NpmSource(client="npm", package="data", version="1.0.0", sha512=self.sha512)

    @property
    def runs(self) -> int:
        path = self.folder / "runs"
        return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Npm:
    folder = tmp_path / "npm"
    folder.mkdir()
    (folder / "npm").write_text(NPM.format(folder=folder))
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return Npm(folder)


@pytest.fixture
def store(tmp_path: Path) -> StepStore:
    return StepStore(tmp_path / "cache")


def test_a_package_with_the_recipes_hash_is_unpacked_and_kept(npm: Npm, store: StepStore, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        found = packages.unpack([npm.source], store, tmp_path / name)
        assert (found["data"] / "data.txt").read_text() == "data"
    assert npm.runs == 1


def test_a_package_with_another_hash_is_refused_and_not_kept(npm: Npm, store: StepStore, tmp_path: Path) -> None:
    wanted = npm.source
    npm.serve("changed at the registry")
    with pytest.raises(DataError, match="the recipe says"):
        packages.unpack([wanted], store, tmp_path)
    assert not list((store.root / "packages").rglob("*.tgz"))


def test_a_package_damaged_in_the_cache_is_fetched_again(npm: Npm, store: StepStore, tmp_path: Path) -> None:
    packages.unpack([npm.source], store, tmp_path)
    next((store.root / "packages").rglob("*.tgz")).write_bytes(b"damaged")
    (tmp_path / "again").mkdir()
    packages.unpack([npm.source], store, tmp_path / "again")
    assert npm.runs == 2


def test_a_package_that_npm_does_not_have_is_named(npm: Npm, store: StepStore, tmp_path: Path) -> None:
    source = npm.source
    (npm.folder / "served.tgz").unlink()
    with pytest.raises(DataError, match=r"npm pack data@1\.0\.0 failed"):
        packages.unpack([source], store, tmp_path)


def test_an_archive_that_leaves_its_folder_is_refused(npm: Npm, store: StepStore, tmp_path: Path) -> None:
    npm.serve("x", "../../outside")
    with pytest.raises(DataError, match="cannot be unpacked"):
        packages.unpack([npm.source], store, tmp_path)
    assert not (tmp_path.parent / "outside").exists()


def test_an_installed_package_of_another_version_than_pinned_is_refused(store: StepStore, tmp_path: Path) -> None:
    source = InstalledSource(client="installed", package="torch")
    with pytest.raises(EnvironmentFault, match=r"torch is not installed, requirements-build\.txt pins"):
        packages.unpack([source], store, tmp_path)
