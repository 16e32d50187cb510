"""An image read back from its registry, every byte held to its digest."""

from model_build.errors import RegistryError
from model_build.oci.descriptor import Descriptor
from model_build.oci.registry import Manifest, Registry


def read_back(registry: Registry, repository: str, digest: str) -> int:
    """Return the bytes of an image, or of all that an index names; raises RegistryError for one that is another."""
    manifest = registry.get(repository, digest)
    if manifest is None:
        raise RegistryError(f"registry {registry.host}: {repository}@{digest} is not there; push it again")
    children, blobs = named_by(registry, manifest)
    read = sum(len(chunk) for one in blobs for chunk in registry.stream(repository, one.digest))
    return len(manifest.body) + read + sum(read_back(registry, repository, one.digest) for one in children)


def named_by(registry: Registry, manifest: Manifest) -> tuple[list[Descriptor], list[Descriptor]]:
    """Return the manifests and the blobs that a manifest names."""
    parsed = manifest.parsed
    blobs = [*(parsed.get("layers") or ()), *([parsed["config"]] if "config" in parsed else ())]
    try:
        return [*map(Descriptor.parse, parsed.get("manifests") or ())], [*map(Descriptor.parse, blobs)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RegistryError(
            f"registry {registry.host}: {manifest.digest} is no manifest ({error!r}); push it again"
        ) from error
