"""The labels of an image that lies in a registry."""

import json
from collections.abc import Mapping

from model_build.oci.descriptor import Descriptor
from model_build.oci.pull import pull_base
from model_build.oci.reference import Reference
from model_build.oci.registry import Manifest, Registry


def read_labels(registry: Registry, repository: str, digest: str, platform: str) -> Mapping[str, str]:
    """Return the labels of the image for `platform`; raises RegistryError where it is not there."""
    found = pull_base(registry, Reference(registry.host, repository, digest=digest), platform)
    return dict((found.config.get("config") or {}).get("Labels") or {})


def labels_of(registry: Registry, repository: str, manifest: Manifest) -> Mapping[str, str]:
    """Return the labels of an image of one platform, whichever it is; none for what is no image."""
    try:
        config = json.loads(registry.blob(repository, Descriptor.parse(manifest.parsed["config"]).digest))
        return dict((config.get("config") or {}).get("Labels") or {})
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}
