"""What `python -m local env` exports."""

import os
from pathlib import Path

import pytest

from local import environment
from local.build import ENGINE
from local.errors import RefusedError
from local.instance import Instance
from local.steps import Steps

BUILT = Path("/cache/bin/engine-1")


def _pulumi(folder: Path, version: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pulumi").write_text(f"#!/bin/sh\necho {version}\n")
    (folder / "pulumi").chmod(0o755)
    return f"{folder}:{os.defpath}"


def test_what_the_user_has_set_is_left_alone(unstarted: Instance) -> None:
    own = {"PULUMI_BACKEND_URL": "s3://mine", "PULUMI_HOME": "/mine", "MODELSTACK_INSTANCE": "unit", "PATH": "/bin"}
    found = environment.variables(unstarted, [BUILT], own)
    assert not {"PULUMI_BACKEND_URL", "PULUMI_HOME", "MODELSTACK_INSTANCE"} & set(found)


def test_a_passphrase_of_the_users_own_is_not_joined_by_a_file(unstarted: Instance) -> None:
    found = environment.variables(unstarted, [BUILT], {"PULUMI_CONFIG_PASSPHRASE": "", "PATH": "/bin"})
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in found


def test_the_wrapper_comes_first_then_the_engine_then_the_users_path(unstarted: Instance) -> None:
    path = environment.variables(unstarted, [BUILT], {"PATH": "/usr/bin:/bin"})["PATH"].split(":")
    assert path[0].endswith("/bin")
    assert Path(path[0]).parent.name.startswith("pulumi-home-")
    assert path[1:] == [str(BUILT), "/usr/bin", "/bin"]


def test_asked_again_in_its_own_environment_it_adds_nothing(unstarted: Instance) -> None:
    first = {"PATH": "/usr/bin"} | environment.variables(unstarted, [BUILT], {"PATH": "/usr/bin"})
    assert environment.variables(unstarted, [BUILT], first) == {}


def test_with_the_users_own_engine_come_their_own_plugins(unstarted: Instance) -> None:
    found = environment.variables(unstarted, [], {"PATH": "/usr/bin"})
    assert "PULUMI_HOME" not in found
    assert [Path(folder).name for folder in found["PATH"].split(":")] == ["bin", "bin"]


def test_where_pulumi_is_on_path_no_engine_is_built(unstarted: Instance, tmp_path: Path) -> None:
    path = _pulumi(tmp_path / "own", "v3.260.1")
    assert environment.engine_modules(unstarted, {"PATH": path}) == ()


def test_the_platforms_own_engine_on_path_is_not_taken_for_the_users(unstarted: Instance) -> None:
    path = _pulumi(unstarted.cache / "bin" / "engine-1", "v3.259.0")
    assert environment.engine_modules(unstarted, {"PATH": path}) == (ENGINE,)


@pytest.mark.parametrize("version", ["v3.258.9", "v4.0.0", "v2.300.0", "nonsense"])
def test_a_pulumi_too_old_or_too_new_is_refused_with_the_remedy(
    unstarted: Instance, tmp_path: Path, version: str
) -> None:
    path = _pulumi(tmp_path / "own", version)
    with pytest.raises(RefusedError, match=rf"own/pulumi is {version}, at least 3\.259\.0 and less than 4 is needed; "):
        environment.engine_modules(unstarted, {"PATH": path})


def test_the_passphrase_is_random_kept_and_for_its_owner_alone(
    unstarted: Instance, silent: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "install", lambda cache: cache)
    environment.prepare(unstarted, silent)
    passphrase = unstarted.data / "passphrase"
    first = passphrase.read_text()
    environment.prepare(unstarted, silent)
    assert passphrase.read_text() == first
    assert len(first.strip()) >= 32
    assert passphrase.stat().st_mode & 0o777 == 0o600
