"""Starts and ends one instance: from nothing, from what a killed run left, or not at all where it is ready."""

import hashlib
import shutil
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from local import addons, build, checks, config, connection, environment, health, images, node, specs
from local.addons import Addon
from local.errors import RefusedError
from local.instance import CLUSTER_DOMAIN, DNS_ADDRESS, NODE_NAME, Instance
from local.kubectl import Kubectl
from local.lock import locked
from local.node import Node
from local.parts import ETC, parts
from local.roots import RootSpec, root
from local.steps import Steps

NODE = RootSpec(
    "node",
    packages=(
        *(
            "etcd-server",
            "etcd-client",
            "runc",
            "containernetworking-plugins",
            "haproxy",
            "runit",
            "iptables",
            "iproute2",
        ),
        *("dash", "coreutils", "mount", "util-linux"),
    ),
)
COREDNS = Addon("addons.yaml", ("coredns",))
NODE_SECONDS = 120.0
DNS_SECONDS = 120.0


@dataclass(frozen=True)
class Made:
    """What a node is started from, all of it in the cache."""

    root: Path
    binaries: tuple[Path, ...]
    images: dict[str, str]
    go: str


def up(instance: Instance, steps: Steps, environ: Mapping[str, str]) -> None:
    """Build what is missing, start what does not run, wait until all of it answers. Raises PlatformError."""
    go, modules = _wanted(instance, environ)
    checks.disk("MODELSTACK_DATA", instance.data, checks.RUN_BYTES)
    with lock(instance):
        if not node.running(instance):
            checks.free_ports(instance)
        instance.data.chmod(0o700)
        config.private(instance.data / "base-port", f"{instance.base_port}\n")
        build.build(modules, instance.cache, go, steps)
        environment.prepare(instance, steps)
        made = _make(instance, go, steps)
        _run(instance, made, steps)
    steps.say(
        f"platform {instance.name!r} is ready: API server 127.0.0.1:{instance.api_port}, registry {instance.registry}; "
        'for a bare `pulumi`: eval "$(python -m local env)"'
    )


def prepare(instance: Instance, steps: Steps, environ: Mapping[str, str]) -> None:
    """Build into the cache what `up` starts, and start nothing. Raises PlatformError."""
    go, modules = _wanted(instance, environ)
    build.build(modules, instance.cache, go, steps)
    _make(instance, go, steps)
    steps.say(f"{instance.cache} holds what `python -m local up` starts")


def down(instance: Instance, steps: Steps) -> None:
    """End the instance; what it keeps stays. Raises PlatformError."""
    if not instance.data.is_dir():
        steps.say(f"platform {instance.name!r}: nothing to end")
        return
    with lock(instance), steps.step(f"end platform {instance.name!r}"):
        _end(instance)


def reset(instance: Instance, steps: Steps) -> None:
    """End the instance and remove its data folder. Raises PlatformError."""
    if not instance.data.is_dir():
        steps.say(f"platform {instance.name!r}: nothing to remove")
        return
    with lock(instance), steps.step(f"end platform {instance.name!r} and remove {instance.data}"):
        _end(instance, gracefully=False)
        shutil.rmtree(instance.data)


def collect(instance: Instance, steps: Steps) -> None:
    """Remove from the registry what no manifest names; waits for a push to end. Raises PlatformError."""
    # A build holds this lock until its image is pushed: blobs on their way have no manifest yet.
    locks = instance.cache / "locks"
    with locked(locks / "build", "a build"), locked(locks / "holders", "images' tags"), lock(instance):
        running = node.running(instance)
        if not running:
            raise RefusedError(f"platform {instance.name!r}: does not run; run `python -m local up` first")
        with steps.step("collect the registry's unused blobs"):
            # It remembers what it held: a blob it serves from memory would be missing on disk.
            node.supervise(running, "stop", ("registry",), "-w", "10")
            try:
                node.enter(running, "registry", "garbage-collect", f"{ETC}/registry.yaml")
            finally:
                node.supervise(running, "start", ("registry",))
            health.wait(instance, running, {"registry": health.targets(instance)["registry"]})


def _wanted(instance: Instance, environ: Mapping[str, str]) -> tuple[str, tuple[build.Module, ...]]:
    """Return Go's version and what is built by it, where this machine can take it. Raises RefusedError."""
    checks.machine(instance)
    go = build.go_version()
    modules = (*build.NODE_MODULES, *build.IMAGE_MODULES, *environment.engine_modules(instance, environ))
    lacking = build.missing(modules, instance.cache, go)
    checks.disk("MODELSTACK_CACHE", instance.cache, checks.BUILD_BYTES if lacking else checks.RUN_BYTES)
    return go, modules


def lock(instance: Instance) -> AbstractContextManager[None]:
    """What only one command at a time holds; raises PlatformError."""
    return locked(instance.data / "lock", f"platform {instance.name!r}")


def _end(instance: Instance, *, gracefully: bool = True) -> None:
    instance.connection.unlink(missing_ok=True)
    node.stop(instance, tuple(part.name for part in parts(instance) if part.graceful and gracefully))


def _make(instance: Instance, go: str, steps: Steps) -> Made:
    node_root = root(NODE, instance.cache, steps)
    references = images.references(specs.ALWAYS, instance.registry, images.Sources(instance.cache, go), steps)
    binaries = tuple(build.binaries(module, instance.cache, go) for module in build.NODE_MODULES)
    return Made(node_root, binaries, references, go)


def _run(instance: Instance, made: Made, steps: Steps) -> None:
    kubectl = Kubectl(instance, made.binaries[build.NODE_MODULES.index(build.KUBERNETES)])
    config.write(instance, made.images["pause"])
    running = _start(instance, made, steps)
    asked = health.targets(instance)
    if any(health.probe(running, asked).values()):
        with steps.step(f"wait for {', '.join(asked)}"):
            health.wait(instance, running, asked)
    images.publish(specs.ALWAYS, instance.registry, images.Sources(instance.cache, made.go), steps)
    _wait_for_node(instance, kubectl, running, steps)
    dns = {"image": made.images["coredns"], "address": DNS_ADDRESS, "domain": CLUSTER_DOMAIN}
    addons.apply(kubectl, COREDNS, COREDNS.text(dns), steps)
    if any(health.probe(running, {health.DNS: health.DNS_TARGET}).values()):
        with steps.step("wait for coredns"):
            health.wait(instance, running, {health.DNS: health.DNS_TARGET}, DNS_SECONDS)
    baked = images.still_there(instance.registry, connection.baked(instance))
    connection.write(instance.connection, connection.describe(instance, {**made.images, **baked}))


def _start(instance: Instance, made: Made, steps: Steps) -> Node:
    mark = instance.data / "started"
    wanted = _fingerprint(instance, made)
    running = node.running(instance)
    if running and mark.is_file() and mark.read_text() == wanted:
        return running
    with steps.step("start the node anew with what has changed" if running else "start the node"):
        # Also where nothing runs: a killed run may have left cgroups.
        _end(instance)
        mark.unlink(missing_ok=True)
        started = node.start(instance, made.root, list(made.binaries))
        mark.write_text(wanted)
    return started


def _fingerprint(instance: Instance, made: Made) -> str:
    digest = hashlib.sha256("\0".join(map(str, (made.root, *made.binaries))).encode())
    rendered = sorted(path for path in instance.etc.rglob("*") if path.is_file() and path.parent != instance.pki)
    # By name alone: another checkout of the same sources finds its platform as it is.
    for path in (*rendered, *sorted(node.SCRIPTS.iterdir())):
        digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _wait_for_node(instance: Instance, kubectl: Kubectl, running: Node, steps: Steps) -> None:
    if _node_is_ready(instance, kubectl):
        return
    with steps.step("wait for the node to be Ready"):
        deadline = time.monotonic() + NODE_SECONDS
        while not _node_is_ready(instance, kubectl):
            if node.running(instance) != running or time.monotonic() > deadline:
                raise health.unhealthy(instance, "kubelet", f"node not Ready in {NODE_SECONDS:.0f} s")
            time.sleep(0.5)


def _node_is_ready(instance: Instance, kubectl: Kubectl) -> bool:
    # A condition from before the last `down` says nothing: only a heartbeat of this run counts.
    ready = '{.status.conditions[?(@.type=="Ready")]'
    told = kubectl.run(
        "get", "node", NODE_NAME, "--ignore-not-found", f"-o=jsonpath={ready}.status}} {ready}.lastHeartbeatTime}}"
    )
    status, _, heartbeat = told.partition(" ")
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(instance.record.stat().st_mtime))
    return status == "True" and heartbeat >= since
