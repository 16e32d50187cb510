"""Package URLs of what an image is made from (github.com/package-url/purl-spec)."""

import base64
from collections.abc import Mapping

from packageurl import PackageURL

from model_build.inputs import pinned_version
from model_build.oci.reference import Reference
from model_build.recipe_sources import NpmSource, PypiSource, Source


def of_source(source: Source) -> PackageURL:
    """Return the data package of a recipe's source."""
    if isinstance(source, NpmSource):
        scope, _, name = source.package.rpartition("/")
        return PackageURL("npm", scope or None, name, source.version)
    version = source.version if isinstance(source, PypiSource) else pinned_version(source.package)
    return PackageURL("pypi", None, source.package, version)


def of_image(reference: Reference, digest: str) -> PackageURL:
    """Return the image of a repository with this digest."""
    place = f"{reference.host}/{reference.repository}"
    return PackageURL("oci", None, reference.repository.rpartition("/")[2], digest, {"repository_url": place})


def hashes_of(source: Source) -> Mapping[str, str]:
    """Return algorithm → hex of what a recipe pins a source by; empty where the build requirements pin it."""
    if isinstance(source, NpmSource):
        return {"sha512": base64.b64decode(source.sha512).hex()}
    return {"sha256": source.sha256} if isinstance(source, PypiSource) else {}
