"""A secret of a stack's settings, looked for in everything that its runs wrote, in each spelling it could lie there in.

Where it is by design: in the cluster's Secret, and so in etcd, which the embedded platform does not encrypt, in its
snapshot in a backup, and in the memory of the pods that mount it. Those are looked at to see that the search works.
"""

from __future__ import annotations

import base64
import gzip
import mmap
import os
import secrets
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.conftest import Platform
from tests.e2e.checkout import Checkout
from tests.e2e.cluster import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.soak, pytest.mark.timeout(900)]

STACK = "canary"
PATH = "modelstack:gateway.keys.canary.sha256"
SETTINGS = """config:
  modelstack:models:
    digits: {recipe: models/digits/recipe.yaml, replicas: 1}
  modelstack:gateway: {enabled: true, replicas: 1}
  modelstack:monitoring: {enabled: false}
"""
LOGGING = ("env", "PULUMI_DEBUG_COMMANDS=true")  # gives commands --event-log
GZIP = b"\x1f\x8b\x08"
LONGEST_GZIP = 64 << 20


def spellings(secret: str) -> set[bytes]:
    """Return the bytes of a secret as they are, URL-encoded, in hex, and within base64 at any offset."""
    plain = secret.encode()
    found = {plain, quote(secret, safe="").encode(), plain.hex().encode()}
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # Without the letters at either end that its neighbours change, too.
            encoded = encode(b"\0" * offset + plain).rstrip(b"=")
            found.add(encoded[-(-offset * 8 // 6) : len(encoded) - (2 if (len(plain) + offset) % 3 else 0)])
    return found


def is_in(content: bytes | mmap.mmap, secret: str) -> bool:
    """Return whether a secret is in `content`, or in what that unzips to."""
    if any(content.find(one) >= 0 for one in spellings(secret)):
        return True
    if content[:3] != GZIP:
        return False
    try:
        unzipped = zlib.decompressobj(wbits=31).decompress(content, LONGEST_GZIP)
    except zlib.error:
        return False
    return any(one in unzipped for one in spellings(secret))


def holding(folder: Path, *secrets: str, but: tuple[Path, ...] = ()) -> list[Path]:
    """Return the files below `folder` that hold one of the secrets."""
    return [path for path in _files(folder, but) if _holds(path, secrets)]


def _holds(path: Path, secrets: tuple[str, ...]) -> bool:
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return any(is_in(content, secret) for secret in secrets)


def _files(folder: Path, but: tuple[Path, ...]) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if Path(root, name) not in but]
        paths = (Path(root, name) for name in names)
        yield from (path for path in paths if path.is_file() and not path.is_symlink() and path not in but)


@dataclass(frozen=True)
class Run:
    """What was done with a stack that has two secrets: one that it can use, and one that is refused."""

    good: str
    bad: str
    backup: Path
    said: dict[str, str] = field(default_factory=dict)

    @property
    def secrets(self) -> tuple[str, str]:
        """Both."""
        return self.good, self.bad


@pytest.fixture(scope="module")
def run(checkout: Checkout, blobs_before: frozenset[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A stack with a secret, through everything that writes something about it."""
    folder = tmp_path_factory.mktemp("canary")
    made = Run(secrets.token_hex(32), f"no hash: {secrets.token_urlsafe(24)}/+&=%", folder / "backup")
    (checkout.folder / f"Pulumi.{STACK}.yaml").write_text(SETTINGS)
    checkout.must("preview", STACK)
    configured(checkout, made.bad)
    made.said["error"] = refused(checkout)
    configured(checkout, made.good)
    log = ("--event-log", str(folder / "up.log"))
    steps = {
        "preview": ("pulumi", "preview", "--diff", "--json"),
        "up": (*LOGGING, "pulumi", "up", "--yes", "--debug", "--diff", *log, "--logtostderr", "-v=5"),
        "refresh": ("pulumi", "refresh", "--yes", "--debug"),
        "outputs": ("pulumi", "stack", "output", "--json"),
        "history": ("pulumi", "stack", "history", "--json"),
        "config": ("pulumi", "config", "--json"),
    }
    for name, command in steps.items():
        made.said[name] = must(checkout, *command, "--stack", STACK)
    made.said["backup"] = must(checkout, "python", "-m", "ops", "backup", STACK, "--output", str(made.backup))
    made.said["recover"] = must(checkout, "python", "-m", "ops", "recover", "--stack", STACK, "--yes")
    yield made
    checkout.must("destroy", STACK)


def configured(checkout: Checkout, secret: str) -> None:
    must(checkout, "pulumi", "config", "set", "--secret", "--path", PATH, secret, "--stack", STACK)


def must(checkout: Checkout, *command: str) -> str:
    done = checkout.run(*command)
    assert done.code == 0, done.said
    return done.said


def refused(checkout: Checkout) -> str:
    done = checkout.run("pulumi", "preview", "--stack", STACK, "--debug", "--logtostderr", "-v=5")
    assert done.code != 0
    return done.said


@pytest.mark.parametrize(
    "wrap",
    [
        lambda secret: f"x{secret}y".encode(),
        lambda secret: b"--" + base64.b64encode(f"password: {secret}!".encode()),
        lambda secret: base64.urlsafe_b64encode(f"p: {secret}".encode()),
        lambda secret: quote(secret, safe="").encode(),
        lambda secret: gzip.compress(f"a\n{secret}\nb".encode()),
        lambda secret: gzip.compress(base64.b64encode(secret.encode())),
    ],
)
def test_the_search_finds_every_spelling(wrap: object) -> None:
    for secret in (secrets.token_hex(32), f"no hash: {secrets.token_urlsafe(24)}/+&=%"):
        assert callable(wrap)
        assert is_in(wrap(secret), secret)
        assert not is_in(wrap(secret), secrets.token_hex(32))


def test_nothing_that_was_printed_holds_it(run: Run) -> None:
    for secret in run.secrets:
        assert [name for name, said in run.said.items() if is_in(said.encode(), secret)] == []
    assert f"{PATH}: [secret]: string should match pattern" in run.said["error"]


def test_no_file_of_the_checkout_or_of_the_run_holds_it(run: Run, checkout: Checkout) -> None:
    virtual_environments = tuple(checkout.folder.glob(".venv*"))
    assert "secure:" in (checkout.folder / f"Pulumi.{STACK}.yaml").read_text()
    assert holding(checkout.folder, *run.secrets, but=virtual_environments) == []


def test_no_file_of_the_platform_but_etcd_holds_it(run: Run, platform: Platform) -> None:
    """State, its history and backups, the joined settings, logs, images, the kubelet's and containerd's folders."""
    data = Path(platform.environment["MODELSTACK_DATA"], platform.environment["MODELSTACK_INSTANCE"])
    etcd = data / "volumes/etcd"
    assert holding(data, *run.secrets, but=(etcd,)) == []
    assert list((data / "state/.pulumi/history").rglob(f"{STACK}-*.json"))
    assert holding(etcd, run.good) != []


def test_a_backup_holds_it_in_the_clusters_data_alone(run: Run) -> None:
    assert holding(run.backup, *run.secrets, but=(run.backup / "platform/etcd.db",)) == []
    assert holding(run.backup, run.good) == [run.backup / "platform/etcd.db"]


def test_no_report_of_a_build_and_no_temporary_file_holds_it(run: Run, platform: Platform) -> None:
    reports = Path(platform.environment["MODELSTACK_CACHE"], "reports")
    assert holding(reports, *run.secrets) == []
    assert holding(run.backup.parent, *run.secrets, but=(run.backup,)) == []


def test_it_is_in_one_object_of_the_cluster_a_secret(run: Run, cluster: Cluster) -> None:
    namespace = f"modelstack-{STACK}"
    kinds = ("configmaps", "deployments", "replicasets", "pods", "services", "events")
    assert [kind for kind in kinds if is_in(str(cluster.items(kind, namespace)).encode(), run.good)] == []
    held = [
        one["metadata"]["name"] for one in cluster.items("secrets", namespace) if is_in(str(one).encode(), run.good)
    ]
    assert held == ["gateway-keys"]
