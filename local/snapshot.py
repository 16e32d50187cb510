"""What one instance cannot make again: its cluster's data and certificates, its passphrase, which images it baked."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from local import checks, node
from local.config import private
from local.errors import PlatformError, RefusedError
from local.instance import NODE_NAME, Instance
from local.parts import PKI
from local.platform import NODE, lock
from local.roots import root
from local.steps import Steps

ETCDCTL = ("env", "ETCDCTL_API=3", "etcdctl")
PEER = "https://127.0.0.1:2380"
RECORD, DATABASE = "instance.json", "etcd.db"
FILES = ("passphrase", "base-port", "baked.json")
FOLDERS = {"manifests": "manifests", "pki": "etc/pki"}
# In a mount namespace of its own: the tree is shared, and one of its folders becomes the new data for this program.
_RESTORE = 'mount --bind "$1" "$2/var/lib" && shift && root=$1 && shift && exec chroot "$root" "$@"'


@dataclass(frozen=True)
class Record:
    """Which instance was saved."""

    name: str
    data: str
    base_port: int


def save(instance: Instance, folder: Path, steps: Steps) -> None:
    """Write the running instance's data into a new folder, for its owner alone. Raises PlatformError."""
    with lock(instance):
        running = node.running(instance)
        if not running:
            raise RefusedError(f"platform {instance.name!r}: does not run; run `python -m local up` first")
        folder.mkdir(parents=True, mode=0o700)
        with steps.step("save the cluster's data"):
            _save_database(instance, running, folder / DATABASE)
        for name in FILES:
            if (instance.data / name).is_file():
                private(folder / name, (instance.data / name).read_text())
        for name, place in FOLDERS.items():
            _copy(instance.data / place, folder / name)
        record = Record(instance.name, str(instance.data), instance.base_port)
        private(folder / RECORD, json.dumps(asdict(record), indent=2) + "\n")


def _save_database(instance: Instance, running: node.Node, target: Path) -> None:
    made = instance.volumes / "etcd" / "snapshot.db"
    keys = [f"--cacert={PKI}/etcd-ca.crt", f"--cert={PKI}/etcd-client.crt", f"--key={PKI}/etcd-client.key"]
    made.unlink(missing_ok=True)
    try:
        node.enter(running, *ETCDCTL, *keys, "snapshot", "save", "/var/lib/etcd/snapshot.db")
        shutil.copyfile(made, target)
    finally:
        made.unlink(missing_ok=True)
    target.chmod(0o600)


def _copy(source: Path, target: Path) -> None:
    target.mkdir(mode=0o700, exist_ok=True, parents=True)
    for path in sorted(source.glob("*")):
        if path.is_file():
            private(target / path.name, path.read_text())


def read(folder: Path) -> Record:
    """Return which instance a folder holds; raises RefusedError for a folder that `save` did not write."""
    try:
        return Record(**json.loads((folder / RECORD).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise RefusedError(f"{folder}: holds no saved instance ({error}); name a folder that `save` wrote") from error


def is_empty(instance: Instance) -> bool:
    """Return whether the instance has no cluster data yet, or none any more."""
    return not (instance.volumes / "etcd" / "member").exists()


def check(instance: Instance, folder: Path, environ: Mapping[str, str]) -> None:
    """Raise RefusedError where what `folder` holds cannot become this instance's data."""
    saved = read(folder)
    if (saved.name, saved.data) != (instance.name, str(instance.data)):
        raise RefusedError(
            f"{folder}: is of instance {saved.name!r} in {saved.data}, which its stacks name, not of {instance.name!r} "
            f"in {instance.data}; set MODELSTACK_INSTANCE={saved.name} and MODELSTACK_DATA={Path(saved.data).parent}"
        )
    if environ.get("MODELSTACK_BASE_PORT", str(saved.base_port)) != str(saved.base_port):
        raise RefusedError(
            f"MODELSTACK_BASE_PORT: {environ['MODELSTACK_BASE_PORT']} is not {saved.base_port}, which its stacks name; "
            "unset it"
        )
    if node.running(instance) or not is_empty(instance):
        raise RefusedError(
            f"platform {instance.name!r}: has data in {instance.data}; run `python -m local reset` first, which drops "
            "it and the state of its stacks"
        )


def load(instance: Instance, folder: Path, steps: Steps, environ: Mapping[str, str]) -> None:
    """Make what `save` wrote the data of an instance that has none; `up` starts it. Raises PlatformError."""
    checks.machine(instance)
    check(instance, folder, environ)
    instance.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with lock(instance):
        tree = root(NODE, instance.cache, steps)
        with steps.step("load the cluster's data"):
            _load_database(instance, folder / DATABASE, tree)
        for name in FILES:
            if (folder / name).is_file():
                private(instance.data / name, (folder / name).read_text())
        for name, place in FOLDERS.items():
            _copy(folder / name, instance.data / place)
        # The last step: without it the instance counts as empty, and all of this can be run again.
        part = instance.volumes / "etcd.part"
        shutil.rmtree(instance.volumes / "etcd", ignore_errors=True)
        part.rename(instance.volumes / "etcd")


def _load_database(instance: Instance, database: Path, tree: Path) -> None:
    part = instance.volumes / "etcd.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True, mode=0o700)
    shutil.copyfile(database, part / "snapshot.db")
    own = [f"--name={NODE_NAME}", f"--initial-cluster={NODE_NAME}={PEER}", f"--initial-advertise-peer-urls={PEER}"]
    restore = [*ETCDCTL, "snapshot", "restore", "/var/lib/snapshot.db", "--data-dir=/var/lib/data", *own]
    command = ["unshare", "--mount", "/bin/sh", "-c", _RESTORE, "load", str(part), str(tree), *restore]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PlatformError(f"{database}: cannot be restored ({said}); take another copy")
    (part / "snapshot.db").unlink()
    (part / "data" / "member").rename(part / "member")
    shutil.rmtree(part / "data")
