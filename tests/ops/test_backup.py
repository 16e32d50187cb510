"""A stack's backup: what is in it, what `restore` brings back of it, and what it refuses before it changes anything."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from model_build.oci.registry import Registry
from model_build.supply.commands import verified
from model_build.supply.keys import make_pair
from ops.backup import is_in_platform
from ops.engine import Engine
from ops.layout import Layout
from tests.provider.conftest import RECIPE
from tests.provider.houses import House, shared_house
from tests.provider.stacks import Stack

pytestmark = pytest.mark.build
__all__ = ["shared_house"]  # a fixture of the tests below

REPOSITORY = "kept/tiny"
OWN_CLUSTER = "config: {modelstack:cluster: {kubeconfig: mine}}\n"


@pytest.fixture(scope="module")
def stack(shared_house: House) -> Stack:
    """A stack of a cluster of one's own that is up, with a signed image."""
    shared_house.recipe.write_text(RECIPE)
    folder = shared_house.project.folder
    make_pair(folder / "release", "")
    (folder / "Pulumi.kept.yaml").write_text(OWN_CLUSTER)
    made = shared_house.stack("kept", REPOSITORY).having(SIGNING_KEY="release.key", PUBLIC_KEYS="release.pub")
    done = made.run("up")
    assert done.code == 0, done.said
    return made


@pytest.fixture(scope="module")
def backup(stack: Stack) -> Path:
    """A backup of it."""
    folder = stack.folder / "kept-backup"
    done = stack.ops("backup", stack.name, "--output", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["folder"] == str(folder)
    assert "its passphrase is not in the backup" in done.stderr
    assert "its objects are not in the backup" in done.stderr
    return folder


def test_all_of_a_backup_is_for_its_owner_alone(backup: Path) -> None:
    paths = [backup, *backup.rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()} == {0o600}


def test_secrets_are_encrypted_in_a_backup(backup: Path) -> None:
    state = json.loads((backup / "state/kept.json").read_text())
    assert state["deployment"]["secrets_providers"]["type"] == "passphrase"
    assert not any(b"a phrase for tests" in path.read_bytes() for path in backup.rglob("*") if path.is_file())


def test_images_are_an_oci_layout_with_all_that_is_attached(backup: Path, stack: Stack) -> None:
    digest = stack.outputs()["image"].rpartition("@")[2]
    assert json.loads((backup / "images/oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    listed = json.loads((backup / "images/index.json").read_text())["manifests"]
    assert digest in {one["digest"] for one in listed}
    part = next(one for one in manifest(backup)["repositories"] if one["repository"] == REPOSITORY)
    layout = Layout(backup / "images")
    kinds = {layout.manifest(one).parsed.get("artifactType") for one in part["manifests"]}
    # The report and its page, the bill of materials, the signature.
    assert len(kinds - {None}) >= 4
    assert part["missing"] == []


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found


def test_a_backup_brings_back_a_lost_state_and_lost_images(backup: Path, stack: Stack, shared_house: House) -> None:
    image, images = stack.outputs()["image"], shared_house.images(REPOSITORY)
    tags, state = {tag: images.digest(tag) for tag in images.tags()}, stack.deployment()
    lose(stack, shared_house)
    assert images.tags() == []
    done = stack.ops("restore", str(backup), "--yes")
    assert done.returncode == 0, done.stderr
    assert {tag: images.digest(tag) for tag in images.tags()} == tags
    assert stack.deployment()["resources"] == state["resources"]
    assert verified(image, [str(stack.folder / "release.pub")], None).provenance is not None
    done_again = stack.run("preview", "--refresh", "--expect-no-changes")
    assert done_again.code == 0, done_again.said


def lose(stack: Stack, house: House) -> None:
    """Lose the stack and every manifest of its repository."""
    removal = stack.command("stack", "rm", stack.name, "--force", "--yes", "--preserve-config")
    subprocess.run(removal, cwd=stack.folder, env=stack.environment, check=True)
    registry = Registry(house.host)
    for digest in {house.images(REPOSITORY).digest(tag) for tag in registry.tags(REPOSITORY)}:
        house.images(REPOSITORY).delete(str(digest))


def test_a_dry_run_shows_the_plan_and_changes_nothing(backup: Path, stack: Stack) -> None:
    before = stack.deployment()
    done = stack.ops("restore", str(backup), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "state: kept: 3 resources of " in done.stdout
    assert stack.deployment() == before


def test_without_a_terminal_a_restore_shows_its_plan_and_is_refused(backup: Path, stack: Stack) -> None:
    done = stack.ops("restore", str(backup))
    assert done.returncode == 3
    assert "nothing was done; pass --yes" in done.stderr


def flipped(folder: Path) -> None:
    path = max(folder.glob("images/blobs/sha256/*"), key=lambda one: one.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def short(folder: Path) -> None:
    next(folder.glob("images/blobs/sha256/*")).unlink()


def joined_by_another(folder: Path) -> None:
    (folder / "state/other.json").write_text("{}")


def of_another_project(folder: Path) -> None:
    rewrite(folder, project="other")


def of_a_later_version(folder: Path) -> None:
    rewrite(folder, format=2, cluster="something new")


def rewrite(folder: Path, **fields: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (flipped, "has sha256"),
        (short, "is missing"),
        (joined_by_another, "is in no manifest"),
        (of_another_project, "is a backup of project 'other'"),
        (of_a_later_version, "format 2 is newer than 1"),
    ],
)
def test_a_backup_that_does_not_fit_is_refused_before_anything_changes(
    backup: Path, stack: Stack, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    copy = shutil.copytree(backup, tmp_path / "copy")
    spoil(copy)
    before = stack.deployment()
    done = stack.ops("restore", str(copy), "--yes")
    assert done.returncode == 3
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert stack.deployment() == before


def test_neither_is_done_while_a_live_process_holds_the_stack(backup: Path, stack: Stack) -> None:
    lock = {"pid": os.getpid(), "username": "me", "hostname": os.uname().nodename}
    held = stack.folder / "state/.pulumi/locks/organization/tiny/kept/one.json"
    held.parent.mkdir(parents=True, exist_ok=True)
    held.write_text(json.dumps(lock | {"timestamp": datetime.now(UTC).isoformat()}))
    try:
        for command in (["restore", str(backup), "--yes"], ["backup", "kept", "--output", str(backup / "no")]):
            done = stack.ops(*command)
            assert done.returncode == 3
            assert f"stack kept: is worked on by process {os.getpid()}" in done.stderr
    finally:
        held.unlink()
    assert not (backup / "no").exists()


def test_a_backup_that_fails_leaves_no_folder(stack: Stack, tmp_path: Path) -> None:
    done = stack.ops("backup", "nowhere", "--output", str(tmp_path / "one"))
    assert done.returncode == 1
    assert "STACK: 'nowhere' is none of this backend; name one of kept" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_not_written_over(stack: Stack, tmp_path: Path) -> None:
    done = stack.ops("backup", "kept", "--output", str(tmp_path))
    assert done.returncode == 2
    assert f"--output: {tmp_path} exists" in done.stderr


def test_a_stack_whose_settings_lie_elsewhere_does_not_say_where_the_others_run(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.prod.yaml").write_text("config: {modelstack:cluster: {kubeconfig: there}}")
    engine = Engine(tmp_path, "prod", {})
    assert not is_in_platform(engine, ["prod", "review-12"])
    assert is_in_platform(Engine(tmp_path, "kept", {}), ["kept"])
