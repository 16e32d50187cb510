"""The bill of materials of an image, in CycloneDX 1.6: base, wheels, server, model and the data it was trained on."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import Distribution, PackageMetadata, distributions
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from model_build import native
from model_build.hashing import hash_file, source_files
from model_build.oci.reference import Reference
from model_build.places import ROOT
from model_build.supply import purl
from model_build.supply.contents import Contents

PROPERTY = "modelstack"
LONGEST_LICENCE = 100
_ALGORITHMS = {"sha256": HashAlgorithm.SHA_256, "sha512": HashAlgorithm.SHA_512}


def bill(contents: Contents, image: Reference, digest: str) -> bytes:
    """Return the bill of the image HOST/REPOSITORY with `digest`, as JSON."""
    bom = Bom()
    bom.metadata.timestamp = datetime.now(UTC)
    bom.metadata.tools.components.add(Component(name="model_build", type=ComponentType.APPLICATION))
    whole = _image(image, digest)
    bom.metadata.component = whole
    parts = [*_parts(contents)]
    bom.components.update(parts)
    bom.register_dependency(whole, parts)
    return JsonV1Dot6(bom).output_as_string().encode()


def _parts(contents: Contents) -> Iterator[Component]:
    yield _image(contents.base, contents.base.digest or "")
    for lock, folders in contents.wheels.items():
        yield from _wheels(lock, folders)
    if contents.wheels:
        yield _server(ROOT / "model_server")
    if contents.native:
        yield from _crates(ROOT / native.LOCK)
    yield _model(contents)
    yield from (_data(contents, number) for number in range(len(contents.recipe.sources)))


def _image(reference: Reference, digest: str) -> Component:
    return Component(
        name=f"{reference.host}/{reference.repository}",
        type=ComponentType.CONTAINER,
        version=digest,
        purl=purl.of_image(reference, digest),
        hashes=_hashes({"sha256": digest.removeprefix("sha256:")}),
        bom_ref=f"{reference.host}/{reference.repository}@{digest}",
    )


def _wheels(lock: str, folders: Iterable[Path]) -> Iterator[Component]:
    locked = locked_hashes((ROOT / lock).read_text())
    found = {_normal(one.name): one for folder in folders for one in distributions(path=[str(folder)])}
    for name, one in sorted(found.items()):
        yield _wheel(lock, name, one, locked.get(name, ()))


def _wheel(lock: str, name: str, found: Distribution, hashes: Iterable[str]) -> Component:
    package = PackageURL("pypi", None, name, found.version)
    # The lock names every wheel of a version; which of them fits the platform uv decided.
    locked = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(package.to_string()),
        comment=f"one of the wheels that {lock} pins",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=one) for one in hashes],
    )
    return Component(
        name=name,
        version=found.version,
        type=ComponentType.LIBRARY,
        purl=package,
        licenses=_licences(found.metadata),
        external_references=[locked],
        bom_ref=package.to_string(),
    )


def _licences(metadata: PackageMetadata) -> list[License]:
    told = str(metadata.json.get("license_expression") or metadata.json.get("license") or "")
    # Some packages put the licence's whole text there.
    return [LicenseFactory().make_from_string(told)] if 0 < len(told) <= LONGEST_LICENCE else []


def _server(folder: Path) -> Component:
    files = [_file(path, path.relative_to(folder).as_posix(), "model_server") for path in source_files(folder)]
    return Component(name="model_server", type=ComponentType.APPLICATION, components=files, bom_ref="model_server")


def _crates(lock: Path) -> Iterator[Component]:
    """Yield the packages that the native module is compiled from, as its lock pins them."""
    for found in tomllib.loads(lock.read_text())["package"]:
        # The module itself has no checksum: its sources are the server's.
        if "checksum" in found:
            package = PackageURL("cargo", None, found["name"], found["version"])
            yield Component(
                name=found["name"],
                version=found["version"],
                type=ComponentType.LIBRARY,
                purl=package,
                hashes=_hashes({"sha256": found["checksum"]}),
                bom_ref=package.to_string(),
            )


def _model(contents: Contents) -> Component:
    name, inputs = contents.recipe.name, contents.inputs
    paths = sorted(path for path in contents.artifact.rglob("*") if path.is_file())
    return Component(
        name=name,
        version=inputs.hash[:12],
        type=ComponentType.MACHINE_LEARNING_MODEL,
        components=[_file(path, path.relative_to(contents.artifact).as_posix(), f"models/{name}") for path in paths],
        properties=[_property("inputs", inputs.hash)],
        bom_ref=f"models/{name}",
    )


def _file(path: Path, name: str, below: str) -> Component:
    return Component(
        name=name,
        type=ComponentType.FILE,
        hashes=_hashes({"sha256": hash_file(path)}),
        properties=[_property("bytes", str(path.stat().st_size))],
        bom_ref=f"{below}/{name}",
    )


def _data(contents: Contents, number: int) -> Component:
    source = contents.recipe.sources[number]
    package = purl.of_source(source)
    return Component(
        name=source.package,
        version=package.version,
        type=ComponentType.DATA,
        purl=package,
        hashes=_hashes(purl.hashes_of(source)),
        bom_ref=f"data {number} {package.to_string()}",
    )


def locked_hashes(requirements: str) -> Mapping[str, tuple[str, ...]]:
    """Return package → sha256 of each file that a compiled lock allows."""
    found: dict[str, list[str]] = {}
    name = ""
    for pinned, hashed in re.findall(r"^([A-Za-z0-9._-]+)==|--hash=sha256:([0-9a-f]{64})", requirements, re.MULTILINE):
        name = _normal(pinned) if pinned else name
        found.setdefault(name, []).extend([hashed] if hashed else [])
    return {package: tuple(hashes) for package, hashes in found.items()}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _hashes(told: Mapping[str, str]) -> list[HashType]:
    return [HashType(alg=_ALGORITHMS[algorithm], content=content) for algorithm, content in told.items()]


def _property(name: str, value: str) -> Property:
    return Property(name=f"{PROPERTY}:{name}", value=value)
