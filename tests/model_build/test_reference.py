import pytest

from model_build.errors import RegistryError
from model_build.oci.reference import Reference

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("127.0.0.1:5000/a/b:t", Reference("127.0.0.1:5000", "a/b", "t")),
        (f"ghcr.io/a@{DIGEST}", Reference("ghcr.io", "a", None, DIGEST)),
        (f"localhost/a:t@{DIGEST}", Reference("localhost", "a", "t", DIGEST)),
        ("[::1]:5000/a", Reference("[::1]:5000", "a")),
    ],
)
def test_a_reference_is_read_and_spelled_the_same(text: str, wanted: Reference) -> None:
    assert Reference.parse(text) == wanted
    assert str(wanted) == text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("library/debian", "host"),
        ("ghcr.io", "repository"),
        ("ghcr.io/Upper", "repository"),
        ("ghcr.io/a/../b", "repository"),
        ("ghcr.io/a:", "tag"),
        ("ghcr.io/a@sha256:12", "digest"),
        ("user@ghcr.io/a", "host"),
        ("http://ghcr.io/a", "host"),
    ],
)
def test_what_is_no_reference_is_refused_by_the_part_that_is_wrong(text: str, what: str) -> None:
    with pytest.raises(RegistryError, match=f"{what} is "):
        Reference.parse(text)
