"""A server: what it builds on, how it starts, where it wants a model's files, and what a pod has to know of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_build.oci.layer import folder_entries
from model_build.oci.tar import Entry

ROOT = "/models"
KSERVE_ROOT = "/mnt/models"  # where KServe mounts the folder `models` of an image
# Files of an artifact that say what a model is, whichever server reads the weights.
BESIDE = ("model.json", "golden.npz", "baseline.json", "tokenizer.json")
OPEN_INFERENCE, TENSORFLOW_REST, OPENAI = "open-inference-v2", "tensorflow-v1", "openai-v1"

Layout = Callable[[Path], list[Entry]]


@dataclass(frozen=True)
class Probe:
    """A path of the port `http` that answers 200 while all is well; `period` in seconds."""

    path: str
    period: int
    failures: int

    def told(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"path": self.path, "period": self.period, "failures": self.failures}


@dataclass(frozen=True)
class Health:
    """Whether a server has started, may be sent requests, and lives."""

    startup: Probe
    ready: Probe
    live: Probe

    @classmethod
    def at(cls, ready: str, live: str, *, start_seconds: int) -> "Health":
        """Return probes of two paths for a server that is ready `start_seconds` after its start at the latest."""
        period = 1 if start_seconds <= 120 else 10
        return cls(Probe(ready, period, start_seconds // period), Probe(ready, 5, 2), Probe(live, 10, 3))


@dataclass(frozen=True)
class Predictor:
    """How KServe runs a server: `format` and `runtime` are its own names for it.

    KServe adds `args` to what its runtime starts. `instead` holds what its pods are told otherwise than those of a
    stack, by the keys of `Runtime.told`.
    """

    format: str
    runtime: str
    args: tuple[str, ...]
    protocol: str | None = None
    instead: Mapping[str, Any] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """Return it as plain values."""
        protocol = {"protocol": self.protocol} if self.protocol else {}
        named = {"format": self.format, "runtime": self.runtime, **protocol}
        return {**named, "args": list(self.args), "instead": dict(self.instead)}


@dataclass(frozen=True)
class Runtime:
    """One server for one model.

    `layout` places an artifact's folder in the image; a pod sees `/models` of the image at `root`. `wheels` are the
    locks of what is laid out on a base of Python alone; none where the base is the server's own image. `native` adds
    this project's native module. `gpus` are in `stages` groups, each with some of the layers. `scratch` and
    `shared_memory` are quantities: /tmp is the one folder that the server may write, /dev/shm where processes meet.
    `predictors` say how KServe runs it: `one` pod a replica, or `several` that share its GPUs.
    """

    name: str
    protocol: str
    command: tuple[str, ...]
    ports: Mapping[str, int]
    health: Health
    layout: Layout
    metrics: tuple[str, str] = ("http", "/metrics")
    env: Mapping[str, str] = field(default_factory=dict)
    root: str = ROOT
    wheels: tuple[str, ...] = ()
    native: bool = False
    gpus: int = 0
    stages: int = 1
    scratch: str = "64Mi"
    shared_memory: str | None = None
    predictors: Mapping[str, Predictor] = field(default_factory=dict)

    def told(self, packaging: str) -> dict[str, Any]:
        """Return what a pod is made from, as plain values; a baked image itself says how it starts."""
        port, path = self.metrics
        kserve = {name: one.told() for name, one in self.predictors.items()}
        starts = {"command": list(self.command), "env": dict(self.env)} if packaging == "volume" else {}
        return {
            "name": self.name,
            "protocol": self.protocol,
            "packaging": packaging,
            "ports": dict(self.ports),
            "startup": self.health.startup.told(),
            "ready": self.health.ready.told(),
            "live": self.health.live.told(),
            "metrics": {"port": port, "path": path},
            "root": self.root,
            "gpus": self.gpus,
            **({"stages": self.stages} if self.stages > 1 else {}),
            "scratch": self.scratch,
            **({"sharedMemory": self.shared_memory} if self.shared_memory else {}),
            **starts,
            **({"kserve": kserve} if kserve else {}),
        }


def beside(artifact: Path, at: str) -> list[Entry]:
    """Return what says what a model is (contract, golden set, baseline, tokenizer), placed at `at`."""
    found = (artifact / name for name in BESIDE)
    return [Entry(f"{at}/{path.name}", content=path) for path in found if path.is_file()]


def text(path: str, content: str) -> Entry:
    """Return a file of a few lines."""
    return Entry(path, content=content.encode())


def within(folder: Path, at: str) -> list[Entry]:
    """Return what lies below `folder`, placed at `at`, without an entry of `at` itself."""
    return [entry for entry in folder_entries(folder, at) if entry.path != at]
