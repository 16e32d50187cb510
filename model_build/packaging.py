"""What a pod runs: one image with everything in it, or the runtime image and an image of weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from model_build.bake import RUNTIME_LABEL, Parts, bake, bake_runtime, bake_weights
from model_build.cache import StepStore
from model_build.code_version import code_version
from model_build.events import Reporter
from model_build.hashing import hash_value
from model_build.inputs import NATIVE, Inputs
from model_build.oci.image import Base, Draft
from model_build.oci.labels import read_labels
from model_build.publish import Destination, publish

# What a runtime image is made from, besides the code that lays it out.
RUNTIME_PARTS = ("image requirements", "model_server", "base image", "platforms")


@dataclass(frozen=True)
class Place:
    """Where images go, and the base of each platform, whose reference by digest is `base`."""

    destination: Destination
    base: str
    bases: Mapping[str, Base]

    def runtime_image(self, digest: str) -> str | None:
        """Return the runtime image that the weights `digest` are mounted into; None where that is a whole image."""
        to = self.destination
        found = read_labels(to.registry, to.repository, digest, next(iter(self.bases))).get(RUNTIME_LABEL)
        return None if found is None else reference(found, self.base, to.image)


def reference(digest: str, base: str, image: Callable[[str], str]) -> str:
    """Return what a pod names for the runtime image `digest`: the base where that is it, else what `image` makes."""
    return base if base.endswith(f"@{digest}") else image(digest)


def drafts(
    parts: Parts, place: Place, store: StepStore, reporter: Reporter, *, require_unchanged: Callable[[], None]
) -> list[Draft]:
    """Return the image of each platform; a runtime image beside them is pushed already, for they name its digest."""
    if parts.packaging == "baked":
        return [bake(parts, platform, base, store, reporter) for platform, base in place.bases.items()]
    if not parts.runtime.wheels:
        # The server's own image runs as it is.
        digest = place.base.partition("@")[2]
    else:
        made = [bake_runtime(parts.runtime, *one, store, reporter) for one in place.bases.items()]
        require_unchanged()
        digest = _published(made, parts, place, reporter)
    return [bake_weights(parts, platform, digest) for platform in place.bases]


def runtime_tag(inputs: Inputs) -> str:
    """Return the tag of a runtime image: builds of the same server, lock, base and platforms share it."""
    made_from = [inputs.parts[name] for name in (*RUNTIME_PARTS, NATIVE) if name in inputs.parts]
    return f"runtime-{hash_value([*made_from, inputs.recipe['runtime'], code_version('model_build.bake')])}"


def _published(made: list[Draft], parts: Parts, place: Place, reporter: Reporter) -> str:
    def told(done: int, whole: int) -> None:
        reporter.tell("running", done / max(whole, 1), f"runtime image: {done / 1e6:.0f} of {whole / 1e6:.0f} MB")

    return publish(made, place.destination, runtime_tag(parts.inputs), {}, told)[0]
