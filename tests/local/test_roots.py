"""Debian roots: what they are made of, what they leave out, and what a killed run leaves behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from local import roots
from local.errors import PlatformError
from local.roots import RootSpec, place, root, sources
from local.steps import Steps

SMALL = RootSpec("small", packages=("zlib1g",), only=("libc6", "zlib1g"))
MAKE = """
import sys
from pathlib import Path
from local.roots import RootSpec, root
from local.steps import Steps
root(RootSpec("small", packages=("zlib1g",), only=("libc6", "zlib1g")), Path(sys.argv[1]), Steps())
"""


@pytest.fixture
def steps() -> Steps:
    return Steps(Console(quiet=True))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return root(SMALL, tmp_path_factory.mktemp("cache"), Steps(Console(quiet=True)))


def names(tree: Path) -> set[str]:
    return {path.relative_to(tree).as_posix() for path in tree.rglob("*")}


def etc(folder: Path, **files: str) -> Path:
    (folder / "sources.list.d").mkdir()
    for name, text in files.items():
        (folder / "sources.list.d" / name.replace("_", ".")).write_text(text)
    return folder


def test_a_spec_with_other_packages_has_another_folder(tmp_path: Path) -> None:
    assert place(SMALL, tmp_path) != place(RootSpec("small", packages=("zlib1g", "libbz2-1.0")), tmp_path)


def test_a_spec_that_keeps_other_packages_has_another_folder(tmp_path: Path) -> None:
    assert place(SMALL, tmp_path) != place(RootSpec("small", packages=("zlib1g",)), tmp_path)


def test_debians_own_sources_are_used_in_both_formats(tmp_path: Path) -> None:
    new = "Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\nComponents: main\n"
    old = "deb [signed-by=/k.gpg] http://mirror.test/debian bookworm main contrib\n"
    found = sources(etc(tmp_path, debian_sources=new, old_list=old))
    assert sorted(path.name for path in found) == ["debian.sources", "old.list"]


def test_sources_of_others_and_of_other_suites_are_not_used(tmp_path: Path) -> None:
    docker = "deb http://docker.test/linux/debian bookworm stable\n"
    cloud = "deb http://cloud.test/apt cloud-sdk-bookworm main\n"
    trixie = "Types: deb\nURIs: http://mirror.test/debian\nSuites: trixie\nComponents: main\n"
    assert sources(etc(tmp_path, docker_list=docker, cloud_list=cloud, debian_sources=trixie)) == []


def test_a_root_that_is_there_is_not_made_again(tmp_path: Path, steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    there = place(SMALL, tmp_path) / "root"
    there.mkdir(parents=True)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert root(SMALL, tmp_path, steps) == there


@pytest.mark.e2e
def test_a_root_holds_the_packages_it_keeps_and_no_others(made: Path) -> None:
    listed = [line.split()[0] for line in (made.parent / "packages").read_text().splitlines()]
    assert listed == sorted(SMALL.only)
    assert any(made.rglob("libz.so.1"))
    # gcc-12-base comes along with libc6's libgcc and is not among those to keep.
    assert not (made / "usr/share/doc/gcc-12-base").exists()


@pytest.mark.e2e
def test_a_root_holds_nothing_of_this_machine_and_no_clock_of_its_making(made: Path) -> None:
    own = {"etc/resolv.conf", "etc/hostname", "etc/machine-id", "etc/apt", "var/log", "var/cache", "var/lib/apt"}
    assert not own & names(made)


@pytest.mark.e2e
def test_a_root_keeps_licences_and_tells_scanners_its_packages(made: Path) -> None:
    assert {"usr/share/doc/zlib1g/copyright", "var/lib/dpkg/status.d/zlib1g"} <= names(made)


@pytest.mark.e2e
def test_a_package_to_keep_that_nothing_needs_is_named(tmp_path: Path, steps: Steps) -> None:
    spec = RootSpec("small", packages=("zlib1g",), only=("zlib1g", "emacs"))
    with pytest.raises(PlatformError, match="emacs"):
        root(spec, tmp_path, steps)


@pytest.mark.e2e
def test_a_package_that_does_not_exist_is_named_with_the_log(tmp_path: Path, steps: Steps) -> None:
    with pytest.raises(PlatformError, match=r"no-such-package-here.*root-small\.log$"):
        root(RootSpec("small", packages=("no-such-package-here",)), tmp_path, steps)


@pytest.mark.e2e
def test_mmdebstrap_is_fetched_into_the_cache_where_the_host_has_none(
    tmp_path: Path, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)
    tool = roots.mmdebstrap(tmp_path, steps)
    assert tool.script.is_relative_to(tmp_path)
    assert tool.runs


@pytest.mark.e2e
def test_killed_while_it_extracts_it_leaves_no_process_and_the_next_run_succeeds(tmp_path: Path, steps: Steps) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", MAKE, str(tmp_path)], env=dict(os.environ) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    part = tmp_path / "roots" / f".{place(SMALL, tmp_path).name}.part" / "root"
    while first.poll() is None and not (part / "etc").is_dir():
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    wait_until_none_names(str(tmp_path))
    assert (root(SMALL, tmp_path, steps) / "usr").is_dir()


def wait_until_none_names(folder: str) -> None:
    until = time.monotonic() + 10
    while left := [line for line in command_lines() if folder in line]:
        assert time.monotonic() < until, left
        time.sleep(0.05)


def command_lines() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text(errors="replace"))
        except OSError:
            continue
    return found
