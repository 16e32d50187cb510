"""The platform's own images, made of Debian packages and Go programs: the same bytes from the same packages."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from local.build import COREDNS, PAUSE, Module, binaries
from local.errors import PlatformError
from local.roots import SUITE, RootSpec, place, root
from local.steps import Steps
from model_build.errors import RegistryError
from model_build.oci import image as oci_image
from model_build.oci import layer as oci_layer
from model_build.oci import tar as oci_tar
from model_build.oci.image import Image, ImageConfig
from model_build.oci.layer import Layer, entries_layer, tree_layer
from model_build.oci.push import push
from model_build.oci.registry import Registry
from model_build.oci.tar import NOBODY, Entry

FOLDER = "modelstack"
USER = f"{NOBODY}:{NOBODY}"
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

# What serving needs of Python and no more: no shell, no package manager, nothing that only a terminal uses.
BASE = RootSpec(
    "base",
    packages=("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6", "libgomp1", "ca-certificates"),
    only=(
        *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "media-types", "ca-certificates"),
        *("libc6", "libgcc-s1", "gcc-12-base", "libstdc++6", "libgomp1", "libcrypt1", "libssl3", "libuuid1"),
        *("libbz2-1.0", "libexpat1", "libffi8", "liblzma5", "libsqlite3-0", "zlib1g"),
    ),
)
# The server and promtool; Debian's pages for a browser need hundreds of megabytes of JavaScript packages.
PROMETHEUS = RootSpec("prometheus", packages=("prometheus",), only=("prometheus", "libc6"))
ROOTS = (BASE, PROMETHEUS)


@dataclass(frozen=True)
class _Sources:
    """Where the parts of the images lie."""

    cache: Path
    go: str

    def program(self, module: Module) -> Path:
        """The one program of a Go module."""
        return binaries(module, self.cache, self.go) / module.name

    @property
    def fingerprint(self) -> str:
        """12 hex digits of what the images are made of: packages by hash, programs by their build, and the code."""
        packages = [(place(spec, self.cache) / "packages").read_text() for spec in ROOTS]
        programs = [self.program(module).parent.name for module in (COREDNS, PAUSE)]
        packers = (__file__, oci_image.__file__, oci_layer.__file__, oci_tar.__file__)
        code = [Path(str(path)).read_text() for path in packers]
        return hashlib.sha256("\0".join([*packages, *programs, *code]).encode()).hexdigest()[:12]


def references(host: str, cache: Path, go: str, steps: Steps) -> dict[str, str]:
    """Image name → reference by digest at the registry `host`, which need not run yet; raises PlatformError.

    Makes the Debian roots where they are missing; the Go programs must have been built.
    """
    for spec in ROOTS:
        root(spec, cache, steps)
    sources = _Sources(cache, go)
    record = cache / "images" / f"{sources.fingerprint}.json"
    if not record.is_file():
        with steps.step("make the platform's images"):
            _write(record, {name: image.digest for name, image in _make(sources).items()})
    digests: dict[str, str] = json.loads(record.read_text())
    return {name: f"{host}/{FOLDER}/{name}@{digest}" for name, digest in digests.items()}


def publish(host: str, cache: Path, go: str, steps: Steps) -> dict[str, str]:
    """Push what the registry at `host` lacks and return `references`; raises PlatformError."""
    wanted = references(host, cache, go, steps)
    registry = Registry(host)
    try:
        missing = [name for name, reference in wanted.items() if not _is_there(registry, name, reference)]
        if missing:
            with steps.step(f"push images: {', '.join(missing)}"):
                _push(registry, missing, wanted, _Sources(cache, go))
    except RegistryError as error:
        raise PlatformError(str(error)) from error
    return wanted


def _is_there(registry: Registry, name: str, reference: str) -> bool:
    return registry.head(f"{FOLDER}/{name}", reference.partition("@")[2]) is not None


def _push(registry: Registry, names: list[str], wanted: dict[str, str], sources: _Sources) -> None:
    images = _make(sources)
    for name in names:
        if images[name].digest != wanted[name].partition("@")[2]:
            raise PlatformError(
                f"image {name}: its files below {sources.cache} are not what they were; "
                f"delete {sources.cache / 'roots'} and {sources.cache / 'images'} and run again"
            )
        push(images[name], registry, f"{FOLDER}/{name}")


def _write(record: Path, digests: dict[str, str]) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    part = record.with_name(f".{record.name}.{os.getpid()}.part")
    part.write_text(json.dumps(digests, indent=2))
    part.rename(record)


def _make(sources: _Sources) -> dict[str, Image]:
    machine = os.uname().machine
    platform = f"linux/{_ARCHITECTURES.get(machine, machine)}"
    return {
        "base": Image(platform, _base_layers(sources), ImageConfig(user=USER, env=_BASE_ENV)),
        "pause": Image(platform, (_program_layer(sources, PAUSE),), ImageConfig(user=USER, entrypoint=("/pause",))),
        "coredns": Image(
            platform,
            (_program_layer(sources, COREDNS),),
            ImageConfig(user=USER, entrypoint=("/coredns",), ports=(53,)),
        ),
        "prometheus": Image(platform, _prometheus_layers(sources), _PROMETHEUS_CONFIG),
    }


_BASE_ENV = {"PATH": "/usr/local/bin:/usr/bin", "LANG": "C.UTF-8"}
_PROMETHEUS_CONFIG = ImageConfig(
    user=USER,
    entrypoint=("/usr/bin/prometheus",),
    cmd=("--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"),
    workdir="/prometheus",
    ports=(9090,),
)


def _base_layers(sources: _Sources) -> tuple[Layer, ...]:
    tree = place(BASE, sources.cache) / "root"
    certificates = sorted((tree / "usr/share/ca-certificates").rglob("*.crt"))
    # update-ca-certificates is a script that an extracted package never ran.
    bundle = Entry(BUNDLE, b"".join(path.read_bytes() for path in certificates))
    links = {
        "usr/lib/ssl/cert.pem": f"/{BUNDLE}",
        "usr/lib/ssl/certs": "/etc/ssl/certs",
        "usr/bin/python3": "python3.11",
    }
    return tree_layer(tree), _system_layer(bundle, *(Entry(path, target=to, mode=0o777) for path, to in links.items()))


def _prometheus_layers(sources: _Sources) -> tuple[Layer, ...]:
    tree = place(PROMETHEUS, sources.cache) / "root"
    data = entries_layer([Entry.folder("prometheus")])
    return tree_layer(tree), _system_layer(), data


def _program_layer(sources: _Sources, module: Module) -> Layer:
    return entries_layer([Entry(module.name, sources.program(module), mode=0o755).owned(0)])


def _system_layer(*further: Entry) -> Layer:
    """What every root file system has and no package brings: users, a folder for temporary files, the system's name."""
    users = f"root:x:0:0:root:/:/nonexistent\nnonroot:x:{NOBODY}:{NOBODY}:nonroot:/nonexistent:/nonexistent\n"
    release = f'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME={SUITE}\nPRETTY_NAME="Debian GNU/Linux 12 ({SUITE})"\n'
    entries = (
        Entry.folder("tmp", 0o1777),
        Entry("etc/passwd", users.encode()),
        Entry("etc/group", f"root:x:0:\nnonroot:x:{NOBODY}:\n".encode()),
        Entry("etc/nsswitch.conf", b"hosts: files dns\n"),
        Entry("etc/os-release", release.encode()),
        *further,
    )
    return entries_layer(entry.owned(0) for entry in entries)
