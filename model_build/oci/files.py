"""Small files out of an image in a registry, without pulling the rest of it."""

import tarfile
import tempfile
from collections.abc import Iterator

from model_build.errors import RegistryError
from model_build.oci.descriptor import Descriptor
from model_build.oci.readback import named_by
from model_build.oci.registry import Manifest, Registry

IN_MEMORY = 32 << 20
LARGEST_FILE = 64 << 20


def read_file(registry: Registry, repository: str, digest: str, path: str) -> bytes | None:
    """Return a file of an image, of an index of its first, None where it has none there; raises RegistryError.

    Layers are read whole, each held to its digest, the smallest first: a model's small files are one layer.
    """
    manifest = _of_one_platform(registry, repository, digest)
    layers = [one for one in named_by(registry, manifest)[1] if "tar" in one.media_type]
    for layer in sorted(layers, key=lambda one: one.size):
        content = _in_layer(registry, repository, layer, path.strip("/"))
        if content is not None:
            return content
    return None


def _of_one_platform(registry: Registry, repository: str, digest: str) -> Manifest:
    manifest = registry.get(repository, digest)
    if manifest is None:
        raise RegistryError(f"registry {registry.host}: {repository}@{digest} is not there; push it again")
    children = named_by(registry, manifest)[0]
    return _of_one_platform(registry, repository, children[0].digest) if children else manifest


def _in_layer(registry: Registry, repository: str, layer: Descriptor, path: str) -> bytes | None:
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as whole:
        for chunk in registry.stream(repository, layer.digest):
            whole.write(chunk)
        whole.seek(0)
        try:
            with tarfile.open(fileobj=whole) as archive:
                return next(_found(archive, path), None)
        except tarfile.TarError as error:
            raise RegistryError(
                f"registry {registry.host}: {repository}@{layer.digest} is no archive ({error}); push it again"
            ) from error


def _found(archive: tarfile.TarFile, path: str) -> Iterator[bytes]:
    for member in archive:
        if member.isfile() and member.name.removeprefix("./").strip("/") == path and member.size <= LARGEST_FILE:
            stream = archive.extractfile(member)
            if stream is not None:
                yield stream.read()
