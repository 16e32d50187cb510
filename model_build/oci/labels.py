"""The labels of an image that lies in a registry."""

from collections.abc import Mapping

from model_build.oci.pull import pull_base
from model_build.oci.reference import Reference
from model_build.oci.registry import Registry


def read_labels(registry: Registry, repository: str, digest: str, platform: str) -> Mapping[str, str]:
    """Return the labels of the image for `platform`; raises RegistryError where it is not there."""
    found = pull_base(registry, Reference(registry.host, repository, digest=digest), platform)
    return dict((found.config.get("config") or {}).get("Labels") or {})
