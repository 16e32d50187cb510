"""The images that the embedded platform makes itself: the same bytes from the same packages and programs."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local.build import Module, binaries
from local.errors import PlatformError
from local.roots import SUITE, place, root
from local.specs import ImageSpec
from local.steps import Steps
from model_build.errors import RegistryError
from model_build.oci import image as oci_image
from model_build.oci import layer as oci_layer
from model_build.oci import tar as oci_tar
from model_build.oci.image import Image
from model_build.oci.layer import Layer, entries_layer, tree_layer
from model_build.oci.push import push
from model_build.oci.reference import Reference
from model_build.oci.registry import Registry
from model_build.oci.tar import NOBODY, Entry

FOLDER = "modelstack"
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_CERTIFICATE_LINKS = {"usr/lib/ssl/cert.pem": f"/{BUNDLE}", "usr/lib/ssl/certs": "/etc/ssl/certs"}


@dataclass(frozen=True)
class Sources:
    """Where the parts of the images lie, and the Go version that built the programs."""

    cache: Path
    go: str

    def programs(self, module: Module) -> list[Path]:
        """The programs of a Go module, which has been built."""
        return sorted(binaries(module, self.cache, self.go).iterdir())

    def fingerprint(self, spec: ImageSpec) -> str:
        """12 hex digits of what an image is made of: packages by hash, the program by its build, and the code."""
        packages = [(place(spec.root, self.cache) / "packages").read_text()] if spec.root else []
        programs = [binaries(spec.program, self.cache, self.go).name] if spec.program else []
        packers = (__file__, oci_image.__file__, oci_layer.__file__, oci_tar.__file__)
        code = [Path(str(path)).read_text() for path in packers]
        return hashlib.sha256("\0".join([repr(spec), *packages, *programs, *code]).encode()).hexdigest()[:12]

    def record(self, spec: ImageSpec) -> Path:
        """The file that keeps an image's digest."""
        return self.cache / "images" / f"{spec.name}-{self.fingerprint(spec)}.json"


def references(specs: Sequence[ImageSpec], host: str, sources: Sources, steps: Steps) -> dict[str, str]:
    """Image name → reference by digest at the registry `host`, which need not run yet; raises PlatformError.

    Makes the Debian roots where they are missing; the Go programs must have been built.
    """
    return {spec.name: f"{host}/{FOLDER}/{spec.name}@{_digest(spec, sources, steps)}" for spec in specs}


def publish(specs: Sequence[ImageSpec], host: str, sources: Sources, steps: Steps) -> dict[str, str]:
    """Push what the registry at `host` lacks and return `references`; raises PlatformError."""
    wanted = references(specs, host, sources, steps)
    registry = Registry(host)
    try:
        missing = [spec for spec in specs if not _is_there(registry, wanted[spec.name])]
        if missing:
            with steps.step(f"push images: {', '.join(spec.name for spec in missing)}"):
                for spec in missing:
                    _push(registry, spec, wanted[spec.name], sources)
    except RegistryError as error:
        raise PlatformError(str(error)) from error
    return wanted


def still_there(host: str, wanted: dict[str, str]) -> dict[str, str]:
    """Those of `wanted` that the registry at `host` holds; raises PlatformError."""
    registry = Registry(host)
    try:
        return {name: text for name, text in wanted.items() if _is_there(registry, text)}
    except RegistryError as error:
        raise PlatformError(str(error)) from error


def _digest(spec: ImageSpec, sources: Sources, steps: Steps) -> str:
    if spec.root:
        root(spec.root, sources.cache, steps)
    record = sources.record(spec)
    if not record.is_file():
        with steps.step(f"make image {spec.name}"):
            _write(record, _make(spec, sources).digest)
    return str(json.loads(record.read_text()))


def _is_there(registry: Registry, text: str) -> bool:
    reference = Reference.parse(text)
    return registry.head(reference.repository, str(reference.digest)) is not None


def _push(registry: Registry, spec: ImageSpec, wanted: str, sources: Sources) -> None:
    image = _make(spec, sources)
    if image.digest != wanted.partition("@")[2]:
        raise PlatformError(
            f"image {spec.name}: its files below {sources.cache} are not what they were; "
            f"delete {sources.cache / 'roots'} and {sources.cache / 'images'} and run again"
        )
    push(image, registry, f"{FOLDER}/{spec.name}")


def _write(record: Path, digest: str) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    part = record.with_name(f".{record.name}.{os.getpid()}.part")
    part.write_text(json.dumps(digest))
    part.rename(record)


def _make(spec: ImageSpec, sources: Sources) -> Image:
    machine = os.uname().machine
    platform = f"linux/{_ARCHITECTURES.get(machine, machine)}"
    return Image(platform, tuple(_layers(spec, sources)), spec.config)


def _layers(spec: ImageSpec, sources: Sources) -> list[Layer]:
    layers = []
    if spec.root:
        tree = place(spec.root, sources.cache) / "root"
        layers += [tree_layer(tree), _system_layer(tree, spec)]
    if spec.program:
        programs = (Entry(path.name, path, mode=0o755) for path in sources.programs(spec.program))
        layers += [entries_layer([one.owned(0)]) for one in programs]
    if spec.folders:
        layers.append(entries_layer([Entry.folder(name) for name in spec.folders]))
    return layers


def _system_layer(tree: Path, spec: ImageSpec) -> Layer:
    """What every root file system has and no package brings: users, a folder for temporary files, the system's name."""
    users = f"root:x:0:0:root:/:/nonexistent\nnonroot:x:{NOBODY}:{NOBODY}:nonroot:/nonexistent:/nonexistent\n"
    release = f'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME={SUITE}\nPRETTY_NAME="Debian GNU/Linux 12 ({SUITE})"\n'
    certificates = sorted((tree / "usr/share/ca-certificates").rglob("*.crt"))
    links = {**(_CERTIFICATE_LINKS if certificates else {}), **spec.links}
    entries = [
        Entry.folder("tmp", 0o1777),
        Entry("etc/passwd", users.encode()),
        Entry("etc/group", f"root:x:0:\nnonroot:x:{NOBODY}:\n".encode()),
        Entry("etc/nsswitch.conf", b"hosts: files dns\n"),
        Entry("etc/os-release", release.encode()),
        *(Entry(path, target=to, mode=0o777) for path, to in links.items()),
    ]
    if certificates:
        # update-ca-certificates is a script that an extracted package never ran.
        entries.append(Entry(BUNDLE, b"".join(path.read_bytes() for path in certificates)))
    return entries_layer(entry.owned(0) for entry in entries)
