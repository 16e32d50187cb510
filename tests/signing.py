"""Key pairs for tests, and images in a real registry to sign."""

from datetime import UTC, datetime
from pathlib import Path

from model_build import recipe as recipes
from model_build.inputs import compute
from model_build.oci.reference import Reference
from model_build.oci.registry import Registry
from model_build.supply.contents import Contents
from model_build.supply.keys import PrivateKey, make_pair, private_key
from model_build.supply.subject import Subject
from tests.registry import push

INPUTS = "1" * 64
OTHER_INPUTS = "2" * 64
BASE_DIGEST = f"sha256:{'b' * 64}"
WEIGHTS = b"weights"
WHEEL = "prometheus-client"


def a_key(folder: Path, name: str = "release") -> PrivateKey:
    """Make a pair without a passphrase and return its private half."""
    return private_key(str(make_pair(folder / name, "").private), {})


def an_image(registry: Registry, repository: str, content: str = "one") -> Subject:
    """Push an image that differs by `content`."""
    digest = push(registry.host, repository, content)
    return Subject.of(registry, Reference(registry.host, repository, digest=digest))


def some_contents(recipe: Path, folder: Path) -> Contents:
    """Return what a build of `recipe` would put into an image: small files and one wheel, in `folder`."""
    artifact = folder / "artifact"
    artifact.mkdir(parents=True, exist_ok=True)
    (artifact / "model.onnx").write_bytes(WEIGHTS)
    (artifact / "model.json").write_bytes(b"{}")
    about = folder / "wheels" / f"{WHEEL.replace('-', '_')}-1.2.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {WHEEL}\nVersion: 1.2\nLicense-Expression: MIT\n")
    base = Reference("127.0.0.1:1", "tests/base", digest=BASE_DIGEST)
    inputs = compute(recipe, str(base))
    began = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    wheels = {"requirements-image.txt": (folder / "wheels",)}
    return Contents(recipes.load(recipe), inputs, base, artifact, wheels, began)
