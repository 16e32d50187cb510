"""Which instance takes what another command saved; the saving and loading itself is in tests/e2e/test_ops_backup.py."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from local import snapshot
from local.errors import RefusedError
from local.instance import Instance
from local.snapshot import Record
from local.steps import Steps


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance("one", tmp_path / "data/one", tmp_path / "cache", 7400)


@pytest.fixture
def saved(instance: Instance, tmp_path: Path) -> Path:
    """A folder as `save` writes it, of that instance."""
    folder = tmp_path / "saved"
    folder.mkdir()
    record = Record(instance.name, str(instance.data), instance.base_port)
    (folder / snapshot.RECORD).write_text(json.dumps(asdict(record)))
    return folder


def test_an_instance_without_data_takes_its_own_folder(instance: Instance, saved: Path) -> None:
    snapshot.check(instance, saved, {})


def test_another_instance_is_refused_with_how_to_name_the_right_one(instance: Instance, saved: Path) -> None:
    other = Instance("two", instance.data.with_name("two"), instance.cache, 7400)
    with pytest.raises(RefusedError, match="is of instance 'one'") as caught:
        snapshot.check(other, saved, {})
    assert f"set MODELSTACK_INSTANCE=one and MODELSTACK_DATA={instance.data.parent}" in str(caught.value)


def test_another_base_port_is_refused(instance: Instance, saved: Path) -> None:
    with pytest.raises(RefusedError, match="MODELSTACK_BASE_PORT: 8400 is not 7400, which its stacks name; unset it"):
        snapshot.check(instance, saved, {"MODELSTACK_BASE_PORT": "8400"})


def test_an_instance_with_data_is_refused(instance: Instance, saved: Path) -> None:
    (instance.volumes / "etcd/member").mkdir(parents=True)
    assert not snapshot.is_empty(instance)
    with pytest.raises(RefusedError, match=r"has data in .*; run `python -m local reset` first"):
        snapshot.check(instance, saved, {})


def test_a_folder_that_nothing_was_saved_to_is_refused(instance: Instance, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="holds no saved instance"):
        snapshot.check(instance, tmp_path, {})


def test_an_instance_that_does_not_run_is_not_saved(instance: Instance, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="does not run; run `python -m local up` first"):
        snapshot.save(instance, tmp_path / "new", Steps())
    assert not (tmp_path / "new").exists()
