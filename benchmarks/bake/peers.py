"""Other people's builders, from Debian packages that are laid out in the cache and started from there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bake.contenders import Bake, Contender, in_turn
from benchmarks.bake.timing import Run
from local.docker import running_docker
from local.roots import RootSpec, libraries, root
from local.steps import Steps
from model_build.places import cache_root

BUILDAH = RootSpec("buildah", packages=("buildah",))


@contextlib.contextmanager
def buildah(folder: Path) -> Iterator[Contender]:
    """Yield buildah with a storage of its own; raises PlatformError where its packages cannot be had."""
    tree = root(BUILDAH, cache_root(), Steps())
    folder.mkdir()
    (folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    (folder / "registries.conf").write_text("")
    environment = libraries(tree) | {
        "PATH": f"{tree / 'usr/bin'}:{tree / 'usr/sbin'}:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(tree),
        "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf"),
        "TMPDIR": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
    }
    storage = ("--root", folder / "root", "--runroot", folder / "run", "--storage-driver", "vfs")
    program = (tree / "usr/bin/buildah", *storage, "--registries-conf", folder / "registries.conf")
    policy = ("--signature-policy", folder / "policy.json")

    def bake(weights: Path, host: str) -> Run:
        (weights.parent / "Containerfile").write_text(f"FROM scratch\nCOPY {weights.name} /models/weights\n")
        image = f"{host}/bench/buildah:v1"
        file = ("-f", weights.parent / "Containerfile")
        build: list[str | Path] = [
            *program,
            "build",
            *policy,
            "--isolation",
            "chroot",
            "--ignorefile",
            folder / "ignored",
            *file,
        ]
        push: list[str | Path] = [*program, "push", *policy, "--tls-verify=false", image]
        (folder / "ignored").write_text(f"*\n!{weights.name}\n")
        try:
            return in_turn([[*build, "-t", image, weights.parent], push], environment)
        finally:
            in_turn([[*program, "rmi", "--all", "--force"]], environment)

    yield Contender("buildah", bake)


@contextlib.contextmanager
def docker(folder: Path) -> Iterator[Contender]:
    """Yield docker with a daemon of its own; raises PlatformError where the daemon does not start."""
    folder.mkdir()
    with running_docker(folder) as started:
        yield Contender("docker", _by_docker([*started.command], dict(started.environment)))


def _by_docker(client: list[str | Path], environment: dict[str, str]) -> Bake:
    def bake(weights: Path, host: str) -> Run:
        image = f"{host}/bench/docker:v1"
        (weights.parent / "Dockerfile").write_text(f"FROM scratch\nCOPY {weights.name} /models/weights\n")
        (weights.parent / ".dockerignore").write_text(f"*\n!{weights.name}\n")
        build = [*client, "build", "--quiet", "-t", image, weights.parent]
        try:
            return in_turn([build, [*client, "push", "--quiet", image]], environment | {"DOCKER_BUILDKIT": "0"})
        finally:
            in_turn([[*client, "system", "prune", "--all", "--force"]], environment)

    return bake
