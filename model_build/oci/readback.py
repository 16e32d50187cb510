"""An image read back from its registry, every byte held to its digest."""

from model_build.errors import RegistryError
from model_build.oci.registry import Registry


def read_back(registry: Registry, repository: str, digest: str) -> int:
    """Return the bytes of an image, or of all that an index names; raises RegistryError for one that is another."""
    manifest = registry.get(repository, digest)
    if manifest is None:
        raise RegistryError(f"registry {registry.host}: {repository}@{digest} is not there; push it again")
    parsed = manifest.parsed
    children = sum(read_back(registry, repository, str(one["digest"])) for one in parsed.get("manifests") or ())
    blobs = [*(parsed.get("layers") or ()), *([parsed["config"]] if "config" in parsed else ())]
    read = sum(len(chunk) for one in blobs for chunk in registry.stream(repository, str(one["digest"])))
    return len(manifest.body) + children + read
