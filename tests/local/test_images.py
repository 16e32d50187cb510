"""The platform's own images: the same bytes twice, pushed by digest, and fit to run what they are for."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from local import build, images, specs
from local.errors import PlatformError
from local.images import Sources
from local.roots import place, root
from local.specs import ImageSpec
from local.steps import Steps
from model_build.oci.pull import pull_base
from model_build.oci.reference import Reference
from model_build.oci.registry import Registry
from tests.registry import running_registry

pytestmark = pytest.mark.e2e

CACHE = Path(os.environ.get("MODELSTACK_CACHE", "/var/cache/modelstack"))
# Those of other Go programs are made as these, and their programs take as long to build as all of these together.
BUILT = (None, *build.NODE_MODULES, *build.IMAGE_MODULES)
SPECS = tuple(spec for spec in (*specs.ALWAYS, *specs.ON_DEMAND) if spec.program in BUILT)
NAMES = {spec.name for spec in SPECS}
QUIET = Steps(Console(quiet=True))
PLATFORM = f"linux/{'amd64' if os.uname().machine == 'x86_64' else 'arm64'}"
CHECK_PYTHON = """
import bz2, ctypes, hashlib, lzma, os, sqlite3, ssl, sys, uuid, zlib
ctypes.CDLL("libstdc++.so.6"), ctypes.CDLL("libgomp.so.1")
print(sys.version_info[:2] == (3, 11), ssl.create_default_context().cert_store_stats()["x509_ca"] > 100)
"""
# Modules that are frozen into the interpreter have no bytecode beside a source.
CHECK_BYTECODE = """
import asyncio, http.server, json, logging, os, ssl, sys, unittest.mock
files = [one.__cached__ for one in sys.modules.values() if getattr(one, "__cached__", None)]
print(len(files) > 100, [one for one in files if not os.path.exists(one)])
"""


@pytest.fixture(scope="module")
def go() -> str:
    version = build.go_version()
    build.build((*build.NODE_MODULES, *build.IMAGE_MODULES), CACHE, version, QUIET)
    return version


@pytest.fixture(scope="module")
def shared(go: str) -> Sources:
    return Sources(CACHE, go)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with roots of its own and the Go programs of the shared one."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "bin").symlink_to(CACHE / "bin")
    return folder


@pytest.fixture
def host(tmp_path: Path, go: str) -> Iterator[str]:
    with running_registry(tmp_path / "registry") as found:
        yield found


@pytest.fixture(scope="module")
def unpacked(shared: Sources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base image's files as a container sees them."""
    folder = tmp_path_factory.mktemp("base")
    with running_registry(folder / "registry") as host:
        reference = Reference.parse(images.publish([specs.BASE], host, shared, QUIET)["base"])
        for layer in pull_base(Registry(host), reference, PLATFORM).layers:
            blob = b"".join(Registry(host).stream(reference.repository, layer.digest))
            (folder / "root").mkdir(exist_ok=True)
            subprocess.run(["tar", "--extract", f"--directory={folder / 'root'}"], input=blob, check=True)
    return folder / "root"


def test_made_again_from_the_same_packages_the_images_have_the_same_digests(
    cache: Path, go: str, tmp_path: Path
) -> None:
    before, again = (images.references(SPECS, "127.0.0.1:1", Sources(folder, go), QUIET) for folder in (CACHE, cache))
    if packages(CACHE) != packages(cache):
        # The mirror has newer packages than when the shared cache was filled.
        (tmp_path / "bin").symlink_to(CACHE / "bin")
        before = images.references(SPECS, "127.0.0.1:1", Sources(tmp_path, go), QUIET)
    assert before == again
    assert set(again) == NAMES


def packages(cache: Path) -> list[str]:
    return [(place(spec.root, cache) / "packages").read_text() for spec in SPECS if spec.root]


def test_what_publish_names_can_be_pulled_by_digest(host: str, shared: Sources) -> None:
    found = {name: Reference.parse(text) for name, text in images.publish(SPECS, host, shared, QUIET).items()}
    assert set(found) == NAMES
    assert all(pull_base(Registry(host), one, PLATFORM).layers for one in found.values())


def test_no_image_runs_as_root(host: str, shared: Sources) -> None:
    found = [Reference.parse(text) for text in images.publish(SPECS, host, shared, QUIET).values()]
    users = {pull_base(Registry(host), one, PLATFORM).config["config"]["User"] for one in found}
    assert users == {"65532:65532"}


def test_an_image_that_the_registry_lost_is_pushed_again(host: str, shared: Sources) -> None:
    lost = Reference.parse(images.publish([specs.PAUSE_IMAGE], host, shared, QUIET)["pause"])
    assert lost.digest
    Registry(host).delete(lost.repository, lost.digest)
    assert images.still_there(host, {"pause": str(lost)}) == {}
    images.publish([specs.PAUSE_IMAGE], host, shared, QUIET)
    assert Registry(host).head(lost.repository, lost.digest)


def test_files_changed_in_the_cache_are_refused_with_the_remedy(cache: Path, host: str, go: str) -> None:
    own = Sources(cache, go)
    images.references([specs.BASE], host, own, QUIET)
    assert specs.BASE.root
    extra = place(specs.BASE.root, cache) / "root" / "etc" / "extra"
    extra.write_text("not of Debian")
    try:
        with pytest.raises(PlatformError, match=r"image base: .* delete .*roots"):
            images.publish([specs.BASE], host, own, QUIET)
    finally:
        extra.unlink()


def test_a_registry_that_is_down_is_named(shared: Sources) -> None:
    with pytest.raises(PlatformError, match=r"127\.0\.0\.1:1"):
        images.publish([specs.PAUSE_IMAGE], "127.0.0.1:1", shared, QUIET)


def test_the_base_image_runs_python_with_what_serving_needs(unpacked: Path) -> None:
    command = ["chroot", "--userspec=65532:65532", str(unpacked), "/usr/bin/python3.11", "-c", CHECK_PYTHON]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["True", "True"]


def test_pythons_own_modules_lie_in_the_base_image_as_bytecode(unpacked: Path) -> None:
    command = ["chroot", "--userspec=65532:65532", str(unpacked), "/usr/bin/python3.11", "-I", "-c", CHECK_BYTECODE]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True []\n"


def test_the_base_image_has_no_shell_and_no_package_manager(unpacked: Path) -> None:
    programs = {path.name for folder in ("bin", "sbin", "usr/bin", "usr/sbin") for path in unpacked.glob(f"{folder}/*")}
    assert not programs & {"sh", "bash", "dash", "busybox", "perl", "apt", "dpkg", "tar", "openssl"}
    assert "python3.11" in programs


@pytest.mark.parametrize(
    ("spec", "command", "says"),
    [
        (specs.PROMETHEUS, "/usr/bin/prometheus --version", "prometheus, version 2."),
        (specs.HAPROXY, "haproxy -vv", "Available services : prometheus-exporter"),
        (specs.REDIS, "redis-server --version", "Redis server v=7."),
    ],
    ids=lambda one: getattr(one, "name", None),
)
def test_a_program_of_debian_finds_all_it_needs_in_its_image(spec: ImageSpec, command: str, says: str) -> None:
    assert spec.root
    tree = root(spec.root, CACHE, QUIET)
    entered = ["chroot", "--userspec=65532:65532", str(tree), *command.split()]
    told = subprocess.run(entered, env={**os.environ, **spec.config.env}, capture_output=True, text=True, check=True)
    assert says in told.stdout + told.stderr


def test_haproxy_is_asked_to_end_its_requests_before_it_ends(host: str, shared: Sources) -> None:
    reference = Reference.parse(images.publish([specs.HAPROXY], host, shared, QUIET)["haproxy"])
    assert pull_base(Registry(host), reference, PLATFORM).config["config"]["StopSignal"] == "SIGUSR1"
