"""Makes the images of a build: base, dependencies, server and weights, each a reproducible layer.

`baked` is one image of all of them. `volume` is two: the runtime image, which no model changes, and an image of weights
alone, which a pod mounts.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model_build import bytecode, native
from model_build.cache import StepStore
from model_build.code_version import code_version
from model_build.dependencies import lay_out
from model_build.events import Reporter
from model_build.hashing import hash_file, hash_value, source_files
from model_build.inputs import Inputs
from model_build.oci.image import Base, Draft, ImageConfig
from model_build.oci.layer import Contents, folder_contents, packed
from model_build.oci.tar import NOBODY, Entry
from model_build.places import ROOT
from model_build.runtimes.onnxruntime import HOME, PYTHON
from model_build.runtimes.runtime import Runtime

USER = f"{NOBODY}:{NOBODY}"
MODEL_LABEL, INPUTS_LABEL = "modelstack.dev/model", "modelstack.dev/inputs"
# In an image of weights: the digest of the runtime image that they are mounted into.
RUNTIME_LABEL = "modelstack.dev/runtime-image"


@dataclass(frozen=True)
class Parts:
    """What goes into the image of one model: its name, the artifact's folder, what it was made from, its server."""

    name: str
    artifact: Path
    inputs: Inputs
    runtime: Runtime
    packaging: str = "baked"

    @property
    def labels(self) -> Mapping[str, str]:
        """What an image says it is."""
        return {MODEL_LABEL: self.name, INPUTS_LABEL: self.inputs.hash}


def bake(parts: Parts, platform: str, base: Base, store: StepStore, reporter: Reporter) -> Draft:
    """Return the image of server and weights for `platform`; raises EnvironmentFault where wheels cannot be had."""
    on_base = server_contents(parts.runtime, platform, store, reporter)
    reporter.tell("running", 0.5, f"layers for {platform}")
    contents = (*on_base, *weights_contents(parts))
    return Draft(platform, contents, config(parts.runtime, parts.labels), base)


def bake_runtime(runtime: Runtime, platform: str, base: Base, store: StepStore, reporter: Reporter) -> Draft:
    """Return the runtime image, as `bake` does."""
    return Draft(platform, server_contents(runtime, platform, store, reporter), config(runtime, {}), base)


def bake_weights(parts: Parts, platform: str, runtime_digest: str) -> Draft:
    """Return the image of weights alone; of two platforms it differs by that word, not by a layer."""
    labels = {**parts.labels, RUNTIME_LABEL: runtime_digest}
    return Draft(platform, weights_contents(parts), ImageConfig(user=USER, labels=labels))


def config(runtime: Runtime, labels: Mapping[str, str]) -> ImageConfig:
    """Return how the server starts in its image."""
    return ImageConfig(
        user=USER,
        env=runtime.env,
        entrypoint=runtime.command,
        workdir="/",
        ports=tuple(runtime.ports.values()),
        labels=labels,
    )


def server_contents(runtime: Runtime, platform: str, store: StepStore, reporter: Reporter) -> tuple[Contents, ...]:
    """Return what is laid on the base, which has nothing to add where it is the server's own image."""
    if not runtime.wheels:
        return ()
    reporter.tell("running", 0.0, f"wheels for {platform}")
    waiting = "waiting for another build"
    folders = [
        lay_out(lock, platform, store, lambda: reporter.tell("running", 0.0, waiting)) for lock in runtime.wheels
    ]
    layers = [one for folder in folders for one in folder_contents(folder, f"{HOME}/deps")]
    on_base = (*layers, *server(ROOT / "model_server", store))
    if not runtime.native:
        return on_base
    native.require_platform(platform)
    module = native.build(store, lambda line: reporter.tell("running", 0.2, line))
    return (*on_base, Contents.of([Entry(f"{HOME}/server/{native.FILE}", content=module, mode=0o644)]))


def weights_contents(parts: Parts) -> tuple[Contents, ...]:
    """Return the artifact as the server wants it: a bundle of small files, and each large one by itself."""
    return packed(parts.runtime.layout(parts.artifact))


def server(sources: Path, store: StepStore) -> tuple[Contents, ...]:
    """Return the server's modules, compiled; what the checkout holds beside them (caches, editors' files) stays out."""
    # The native module is compiled from its own; its sources are nothing that runs.
    found = {path.relative_to(sources): path for path in source_files(sources)}
    files = {name: path for name, path in found.items() if name.parts[0] != "native"}
    at = f"{HOME}/server/{sources.name}"

    def make(scratch: Path) -> Path:
        out = scratch / "server"
        for name, path in files.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, out / name)
        bytecode.compile_below(out, at, bytecode.interpreter(PYTHON))
        return out

    hashes = {name.as_posix(): hash_file(path) for name, path in files.items()}
    key = hash_value([at, hashes, PYTHON, code_version("model_build.bytecode")])
    return folder_contents(store.once(key, make), at)
