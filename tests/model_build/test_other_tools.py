"""Images of ours in other people's hands: skopeo, umoci and crane read them, other registries take them."""

import json
import os
import re
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.build import CONFORMANCE, CRANE
from model_build.oci import push as pushing
from model_build.oci.image import Draft, Image, ImageConfig
from model_build.oci.layer import Contents, entries_layer
from model_build.oci.memory import Memory
from model_build.oci.pull import pull_base
from model_build.oci.push import Target, push, push_draft
from model_build.oci.reference import Reference
from model_build.oci.referrers import attach, attached, referrers
from model_build.oci.registry import Registry
from model_build.oci.tar import Entry
from tests.tools import debian, docker_daemon, memory_registry, older_registry, program

PLATFORM = "linux/amd64"
BIG = 3_000_000
REPORT = "application/vnd.example.report"
LONG = f"models/x/{'n' * 120}/ü-{'m' * 120}"


@pytest.fixture(scope="module")
def crane() -> Path:
    return program(CRANE)


@pytest.fixture(scope="module", params=["distribution-3", "distribution-2.8", "crane"])
def place(
    request: pytest.FixtureRequest, host: str, crane: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The host of each registry in turn."""
    folder = tmp_path_factory.mktemp("registry")
    if request.param == "distribution-3":
        yield host
    elif request.param == "distribution-2.8":
        with older_registry(folder) as found:
            yield found
    else:
        with memory_registry(crane, folder) as found:
            yield found


@pytest.fixture
def draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Draft:
    """An image of a big file, a bundle with long names, modes and a link."""
    monkeypatch.setattr(pushing, "OWN_LAYER_BYTES", BIG)
    (tmp_path / "weights").write_bytes(os.urandom(BIG))
    os.utime(tmp_path / "weights", (1, 1))
    bundle = [
        Entry.folder("models"),
        Entry.folder("models/x"),
        Entry(LONG, b"long"),
        Entry("bin/run", b"#!/bin/sh\n", mode=0o755),
        Entry("models/link", target="x"),
    ]
    weights = Contents.of([Entry("models/x/weights.bin", tmp_path / "weights")])
    return Draft(PLATFORM, (Contents.of(bundle), weights), ImageConfig(user="65532:65532", entrypoint=("/bin/run",)))


def test_every_registry_takes_an_image_and_gives_it_back(place: str, repository: str, draft: Draft) -> None:
    registry = Registry(place)
    image = push_draft(draft, Target(registry, repository), ["v1"])
    found = registry.get(repository, "v1")
    assert found is not None
    assert found.body == image.manifest_bytes
    for layer in image.layers:
        assert b"".join(registry.stream(repository, layer.digest)) == b"".join(layer.open())
    base = pull_base(registry, Reference(place, repository, "v1"), PLATFORM)
    assert [one.digest for one in base.layers] == [layer.digest for layer in image.layers]


def test_every_registry_gets_no_byte_twice(place: str, repository: str, draft: Draft, tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory")
    registry = Registry(place)
    image = push_draft(draft, Target(registry, f"{repository}-first", memory=memory), ["v1"])
    (tmp_path / "weights").chmod(0o000)  # root may still read it, but the digest is remembered
    again = push_draft(draft, Target(registry, repository, memory=memory), ["v1"])
    assert again.digest == image.digest
    assert all(registry.has_blob(repository, layer.digest) for layer in image.layers)


def test_every_registry_lists_what_is_attached(place: str, repository: str) -> None:
    registry = Registry(place)
    image = Image(PLATFORM, (entries_layer([Entry("file", b"content")]),))
    push(image, registry, repository, ["v1"])
    attach(registry, repository, image.descriptor, REPORT, b"{}")
    found = referrers(registry, repository, image.digest, REPORT)
    assert [attached(registry, repository, one.digest) for one in found] == [b"{}"]


def test_crane_finds_the_image_valid_and_reads_its_files(
    place: str, repository: str, draft: Draft, crane: Path, tmp_path: Path
) -> None:
    push_draft(draft, Target(Registry(place), repository), ["v1"])
    name = f"{place}/{repository}:v1"
    # Without --fast it opens every layer with gzip, whatever its media type says: see the next test.
    done = subprocess.run([crane, "validate", "--fast", "--remote", name], capture_output=True, text=True, check=False)
    assert "PASS" in done.stdout, done.stderr
    subprocess.run([crane, "export", name, tmp_path / "files.tar"], check=True)
    with tarfile.open(tmp_path / "files.tar") as files:
        weights = files.extractfile("models/x/weights.bin")
        assert weights is not None
        assert weights.read() == (tmp_path / "weights").read_bytes()


def test_crane_validates_no_layer_that_is_not_compressed_whoever_pushed_it(
    host: str, repository: str, crane: Path, tmp_path: Path
) -> None:
    image = Image(PLATFORM, (entries_layer([Entry("file", b"content")]),))
    push(image, Registry(host), repository, ["v1"])
    source, layout = f"docker://{host}/{repository}:v1", tmp_path / "layout"
    debian("skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", source, f"dir:{layout}")
    target = f"docker://{host}/{repository}-by-skopeo:v1"
    debian("skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", f"dir:{layout}", target)
    command: list[str | Path] = [crane, "validate", "--remote", target.removeprefix("docker://")]
    assert "gzip: invalid header" in subprocess.run(command, capture_output=True, text=True, check=False).stderr


def test_skopeo_copies_the_image_and_umoci_unpacks_it(
    place: str, repository: str, draft: Draft, tmp_path: Path
) -> None:
    image = push_draft(draft, Target(Registry(place), repository), ["v1"])
    layout = tmp_path / "layout"
    source = f"docker://{place}/{repository}:v1"
    told = json.loads(debian("skopeo", "--insecure-policy", "inspect", "--tls-verify=false", source))
    assert told["Layers"] == [layer.digest for layer in image.layers]
    debian("skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", source, f"oci:{layout}:v1")
    debian("umoci", "unpack", "--image", f"{layout}:v1", tmp_path / "bundle")
    files = tmp_path / "bundle" / "rootfs"
    assert (files / "models/x/weights.bin").read_bytes() == (tmp_path / "weights").read_bytes()
    assert (files / LONG).read_bytes() == b"long"
    assert (files / "models/link").readlink() == Path("x")
    found = (files / "bin/run").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o755, 65532, 65532)
    assert json.loads((tmp_path / "bundle/config.json").read_text())["process"]["args"] == ["/bin/run"]


def test_docker_pulls_the_image_and_runs_it(
    host: str, repository: str, crane: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Runs any program that needs nothing beside it; skipped, with the reason, where no daemon starts."""
    layers = entries_layer([Entry("bin/program", crane, mode=0o755)]), entries_layer([Entry("note", b"small")])
    image = Image(PLATFORM, layers, ImageConfig(user="65532:65532", entrypoint=("/bin/program",), cmd=("version",)))
    push(image, Registry(host), repository, ["v1"])
    with docker_daemon(tmp_path_factory.mktemp("docker")) as docker:
        docker("pull", f"{host}/{repository}@{image.digest}")
        said = docker("run", "--rm", "--network=none", f"{host}/{repository}@{image.digest}")
    assert said.strip() == CRANE.version


# The client builds on everything but these: it lists referrers under a tag where a registry has no API for them, and
# pushes neither layers that lie elsewhere nor digests other than sha256.
NOT_ASSUMED = ("API_REFERRER", "DATA_SUBJECT", "DATA_SUBJECT_MISSING", "DATA_SUBJECT_LIST")
NOT_PUSHED = ("DATA_NONDISTRIBUTABLE", "DATA_SHA512")


def test_the_registry_of_the_platform_keeps_what_the_client_builds_on(host: str, tmp_path: Path) -> None:
    left_out = {f"OCI_{name}": "false" for name in (*NOT_ASSUMED, *NOT_PUSHED)}
    environment = {"OCI_REGISTRY": host, "OCI_TLS": "disabled", "OCI_RESULTS_DIR": str(tmp_path), **left_out}
    done = subprocess.run(
        [program(CONFORMANCE)],
        env=os.environ | environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"Manifest put by tag\.+: +Pass", done.stdout)
