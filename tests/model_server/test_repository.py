"""The models' folder: which versions of which models it holds, and which one answers."""

import json
from pathlib import Path

import pytest

from model_server.errors import ConfigError
from model_server.repository import DEFAULT_FILE, discover
from tests.model_server.running import write_linear


def write_version(root: Path, version: str) -> Path:
    folder = write_linear(root / "linear", version)
    document = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(document | {"name": "linear", "version": version}))
    return folder


def test_models_are_found_by_their_contract_and_other_folders_passed_over(tmp_path: Path) -> None:
    write_linear(tmp_path, "second")
    write_linear(tmp_path, "first")
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "..2026").symlink_to(tmp_path / "second")
    assert [one.name for one in discover(tmp_path).contracts] == ["first", "second"]


def test_two_folders_with_one_name_and_version_are_refused(tmp_path: Path) -> None:
    write_linear(tmp_path)
    write_linear(tmp_path / "elsewhere").rename(tmp_path / "copy")
    with pytest.raises(ConfigError, match=r"name: 'linear', version '0123456789ab', is also that of .*copy"):
        discover(tmp_path)


def test_of_numbered_versions_the_highest_answers(tmp_path: Path) -> None:
    for version in ("9", "10"):
        write_version(tmp_path, version)
    found = discover(tmp_path)
    assert [one.version for one in found.contracts] == ["10", "9"]
    assert found.defaults == {"linear": "10"}


def test_of_versions_without_an_order_the_one_that_a_file_names_answers(tmp_path: Path) -> None:
    for version in ("aa", "bb"):
        write_version(tmp_path, version)
    (tmp_path / "linear" / DEFAULT_FILE).write_text("aa\n")
    assert discover(tmp_path).defaults == {"linear": "aa"}


def test_versions_without_an_order_and_without_that_file_are_refused(tmp_path: Path) -> None:
    for version in ("aa", "bb"):
        write_version(tmp_path, version)
    with pytest.raises(ConfigError, match="has the versions aa, bb, which have no order; write one into it"):
        discover(tmp_path)


def test_a_default_that_is_no_version_is_refused(tmp_path: Path) -> None:
    write_version(tmp_path, "1")
    (tmp_path / "linear" / DEFAULT_FILE).write_text("2")
    with pytest.raises(ConfigError, match="'2' is none of 1; write one of these"):
        discover(tmp_path)
