"""Builds the pinned Go modules of local/go into the cache, once for each set of sources, flags and Go version."""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.errors import PlatformError, RefusedError
from local.lock import locked
from local.steps import Steps

SOURCES = Path(__file__).parent / "go"
GO_MINIMUM = (1, 26, 8)
# Ends with this process, however that ends: what goes on alone would write beside the next run.
BESIDE = ("setpriv", "--pdeathsig=KILL")
FETCHED_AHEAD = 2  # more would only take the network from what is wanted first
OTHERWISE = "or use any cluster: name its kubeconfig in the stack"


@dataclass(frozen=True)
class Module:
    """One Go module: what to build from it, and the linker variables that hold its version."""

    name: str
    packages: tuple[str, ...]
    requirement: str = ""
    tags: str = ""
    version_variables: tuple[str, ...] = ()
    further_variables: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the module's own files lie."""
        return SOURCES / self.name

    @property
    def version(self) -> str:
        """The pinned version of what the module builds, with its leading v; empty for the project's own."""
        if not self.requirement:
            return ""
        found = re.search(rf"^\s*(?:require\s+)?{re.escape(self.requirement)} (v\S+)", self._go_mod, re.MULTILINE)
        if not found:
            raise PlatformError(f"{self.folder / 'go.mod'}: {self.requirement} is not required; restore the file")
        return found.group(1)

    @property
    def toolchain(self) -> str:
        """The Go that the module asks for by a `toolchain` line and the module proxy serves; else the one on PATH."""
        found = re.search(r"^toolchain (\S+)$", self._go_mod, re.MULTILINE)
        return found.group(1) if found else "local"

    @property
    def _go_mod(self) -> str:
        return (self.folder / "go.mod").read_text()

    @property
    def flags(self) -> tuple[str, ...]:
        """Arguments of `go build`."""
        variables = [*(f"{name}={self.version}" for name in self.version_variables), *self.further_variables]
        linker = " ".join(["-s", "-w", *(f"-X {variable}" for variable in variables)])
        return ("-trimpath", *self.choices, f"-ldflags={linker}")

    @property
    def choices(self) -> tuple[str, ...]:
        """The arguments that decide which files belong to a package."""
        return (f"-tags={self.tags}",) if self.tags else ()


_BASE_VERSION = "k8s.io/component-base/version"
ENGINE = Module(
    "engine",
    ("github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",),
    "github.com/pulumi/pulumi/pkg/v3",
    version_variables=("github.com/pulumi/pulumi/sdk/v3/go/common/version.Version",),
)
KUBERNETES = Module(
    "kubernetes",
    (".",),
    "k8s.io/kubernetes",
    tags="providerless",
    version_variables=(f"{_BASE_VERSION}.gitVersion", "k8s.io/client-go/pkg/version.gitVersion"),
    further_variables=(f"{_BASE_VERSION}.gitTreeState=clean",),
)
CONTAINERD = Module(
    "containerd",
    (
        "github.com/containerd/containerd/v2/cmd/containerd",
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    ),
    "github.com/containerd/containerd/v2",
    tags="no_btrfs,no_zfs,no_devmapper",
    version_variables=("github.com/containerd/containerd/v2/version.Version",),
)
REGISTRY = Module(
    "registry",
    ("github.com/distribution/distribution/v3/cmd/registry",),
    "github.com/distribution/distribution/v3",
    version_variables=("github.com/distribution/distribution/v3/version.version",),
)
COREDNS = Module("coredns", (".",), "github.com/coredns/coredns")
PAUSE = Module("pause", (".",))
# Part of no platform: other people's registry client and checks of registries, workflows and controllers, for tests.
CRANE = Module(
    "crane",
    ("github.com/google/go-containerregistry/cmd/crane",),
    "github.com/google/go-containerregistry",
    version_variables=("github.com/google/go-containerregistry/cmd/crane/cmd.Version",),
)
CONFORMANCE = Module(
    "conformance",
    ("github.com/opencontainers/distribution-spec/conformance",),
    "github.com/opencontainers/distribution-spec/conformance",
)
ACTIONLINT = Module("actionlint", ("github.com/rhysd/actionlint/cmd/actionlint",), "github.com/rhysd/actionlint")
KSERVE = Module("kserve", ("github.com/kserve/kserve/cmd/manager",), "github.com/kserve/kserve")
# Part of a platform that asks for it: the controller of canaries and blue-green rollouts.
ROLLOUTS = Module(
    "rollouts",
    ("github.com/argoproj/argo-rollouts/cmd/rollouts-controller",),
    "github.com/argoproj/argo-rollouts",
)
# The figures that a HorizontalPodAutoscaler reads: CPU and memory of pods.
METRICS_SERVER = Module(
    "metrics-server",
    ("sigs.k8s.io/metrics-server/cmd/metrics-server",),
    "sigs.k8s.io/metrics-server",
    version_variables=("k8s.io/client-go/pkg/version.gitVersion",),
)
# What a HorizontalPodAutoscaler reads besides, and what brings the first pod up: the operator, and its part of the API.
KEDA = Module(
    "keda",
    ("github.com/kedacore/keda/v2/cmd/operator", "github.com/kedacore/keda/v2/cmd/adapter"),
    "github.com/kedacore/keda/v2",
    version_variables=("github.com/kedacore/keda/v2/version.Version",),
)
NODE_MODULES = (CONTAINERD, REGISTRY, KUBERNETES)
IMAGE_MODULES = (COREDNS, PAUSE)


def go_version() -> str:
    """What `go version` prints; raises RefusedError where Go is missing or older than this project needs."""
    needs = ".".join(map(str, GO_MINIMUM))
    try:
        text = subprocess.run(["go", "version"], capture_output=True, text=True, check=True, env=_environment()).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        raise RefusedError(f"go: not found on PATH; install Go {needs} or newer, {OTHERWISE}") from None
    found = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", text)
    if not found or tuple(int(number or 0) for number in found.groups()) < GO_MINIMUM:
        raise RefusedError(f"go: {text.strip()!r} is older than {needs}; install Go {needs} or newer, {OTHERWISE}")
    return text.strip()


def binaries(module: Module, cache: Path, go: str) -> Path:
    """The folder that holds, or will hold, the module's programs."""
    return cache / "bin" / f"{module.name}-{fingerprint(module, go)}"


def fingerprint(module: Module, go: str) -> str:
    """12 hex digits of everything a build depends on: sources, flags, packages and the Go version."""
    digest = hashlib.sha256("\0".join([go, *module.flags, *module.packages]).encode())
    for path in sorted(path for path in module.folder.rglob("*") if path.is_file()):
        digest.update(f"\0{path.relative_to(module.folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def missing(modules: tuple[Module, ...], cache: Path, go: str) -> list[Module]:
    """The modules that are not built yet."""
    return [module for module in modules if not binaries(module, cache, go).is_dir()]


def build(modules: tuple[Module, ...], cache: Path, go: str, steps: Steps) -> None:
    """Build what is missing; Go's build cache is the project's own and dropped afterwards. Raises PlatformError."""
    if not missing(modules, cache, go):
        return
    with locked(cache / "bin.lock", "the Go builds"):
        left = missing(modules, cache, go)
        for index, module in enumerate(left):
            following = left[index + 1 : index + 1 + FETCHED_AHEAD]
            with _fetching(following), steps.step(f"build {module.name} {module.version}".rstrip()):
                _build(module, binaries(module, cache, go), cache / "go-build")
        shutil.rmtree(cache / "go-build", ignore_errors=True)


def source(module: Module) -> Path:
    """The folder of the module cache that holds what the module requires, fetched where it is not there.

    Raises PlatformError.
    """
    command = ["go", "list", "-m", "-f", "{{.Dir}}", module.requirement]
    fetch = ["go", "mod", "download", module.requirement]
    for one in (fetch, command):
        done = subprocess.run(
            one, cwd=module.folder, env=_environment(module.toolchain), capture_output=True, text=True, check=False
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise PlatformError(f"fetch {module.name}: {lines[-1]}; is the Go module proxy reachable?")
    return Path(done.stdout.strip())


@contextmanager
def _fetching(modules: list[Module]) -> Iterator[None]:
    """Download what these modules are built from while others compile; a build says what is wrong with either."""
    asked = [
        subprocess.Popen(
            [*BESIDE, "go", "list", "-deps", *module.choices, *module.packages],
            cwd=module.folder,
            env=_environment(module.toolchain),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for module in modules
    ]
    try:
        yield
    finally:
        for process in asked:
            process.kill()
            process.wait()


def _build(module: Module, target: Path, build_cache: Path) -> None:
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    # One package of "." would be named after the folder; every other one after its last element.
    output = part / _program(module) if len(module.packages) == 1 else f"{part}/"
    command = [*BESIDE, "go", "build", *module.flags, "-o", str(output), *module.packages]
    temporary = build_cache / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    environment = _environment(module.toolchain) | {"GOCACHE": str(build_cache), "GOTMPDIR": str(temporary)}
    done = subprocess.run(command, cwd=module.folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise PlatformError(f"build {module.name}: `go build` failed: {lines[-1]}; is the Go module proxy reachable?")
    part.rename(target)


def _program(module: Module) -> str:
    own = {"kubernetes": "kube", "rollouts": "rollouts"}
    return own.get(module.name, module.packages[0].rsplit("/", 1)[-1] if module.packages != (".",) else module.name)


def _environment(toolchain: str = "local") -> dict[str, str]:
    pinned = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"}
    return dict(os.environ) | pinned | {"GOTOOLCHAIN": toolchain}
