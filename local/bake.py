"""Makes the images that stacks run besides their models, each when the first stack asks for it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from local import addons, build, checks, connection, images, node, specs
from local.config import private
from local.errors import RefusedError
from local.instance import Instance
from local.kubectl import Kubectl
from local.platform import lock
from local.steps import Steps


def bake(instance: Instance, names: Sequence[str], steps: Steps) -> None:
    """Make and push what the instance's registry lacks of these images, and tell connection.json of them.

    Raises RefusedError for a name that is none, or where the platform does not run; PlatformError.
    """
    wanted = specs.named(names)
    checks.machine(instance)
    if not node.running(instance):
        raise RefusedError(f"platform {instance.name!r}: does not run; run `python -m local up` first")
    with lock(instance):
        made = images.publish(wanted, instance.registry, _sources(instance, wanted, steps), steps)
        _keep_manifests(instance, wanted)
        _run_addons(instance, wanted, made, steps)
        _tell(instance, made)
    for name, reference in made.items():
        steps.say(f"image {name}: {reference}")


def prepare(instance: Instance, names: Sequence[str], steps: Steps) -> None:
    """Build the programs of these images into the cache, and make none. Raises RefusedError, PlatformError."""
    _sources(instance, specs.named(names), steps)


def _sources(instance: Instance, wanted: Sequence[specs.ImageSpec], steps: Steps) -> images.Sources:
    modules = tuple(spec.program for spec in wanted if spec.program)
    # Images of Debian packages alone need no Go.
    go = build.go_version() if modules else ""
    lacking = build.missing(modules, instance.cache, go)
    checks.disk("MODELSTACK_CACHE", instance.cache, checks.BUILD_BYTES if lacking else checks.RUN_BYTES)
    build.build(modules, instance.cache, go, steps)
    return images.Sources(instance.cache, go)


def _keep_manifests(instance: Instance, wanted: Sequence[specs.ImageSpec]) -> None:
    """Copy what stacks apply beside an image out of Go's module cache, which belongs to the user."""
    instance.manifests.mkdir(exist_ok=True)
    for spec in wanted:
        if spec.manifest and spec.program:
            text = (build.source(spec.program) / spec.manifest).read_text()
            private(instance.manifests / f"{spec.name}.yaml", text)


def _run_addons(instance: Instance, wanted: Sequence[specs.ImageSpec], made: Mapping[str, str], steps: Steps) -> None:
    for spec in wanted:
        if spec.addon:
            kubectl = Kubectl.of(instance)
            text = spec.addon.text({"image": made[spec.name]})
            addons.apply(kubectl, spec.addon, _kinds(kubectl, spec) + text, steps)
            addons.wait(kubectl, spec.addon, steps)


def _kinds(kubectl: Kubectl, spec: specs.ImageSpec) -> str:
    """Return the custom kinds of an addon as its Go module has them, which ends in a line of its own."""
    if not (spec.addon and spec.addon.kinds and spec.program):
        return ""
    return kubectl.run("kustomize", str(build.source(spec.program) / spec.addon.kinds)) + "---\n"


def _tell(instance: Instance, made: Mapping[str, str]) -> None:
    baked = {**connection.baked(instance), **made}
    private(instance.baked, json.dumps(baked, indent=2) + "\n")
    known = connection.read(instance.connection)
    told = replace(
        known, images={**known.images, **baked}, manifests={**known.manifests, **connection.manifests(instance)}
    )
    if told != known:
        connection.write(instance.connection, told)
