"""Newer data packages, told by the real clients from registries on loopback, and the recipe's text with them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import string
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from model_build.recipe_sources import InstalledSource, NpmSource, PypiSource
from ops.newer import Newer, NewerError, newer, with_versions

PIN = base64.b64encode(hashlib.sha512(b"it").digest()).decode()
OLD = base64.b64encode(hashlib.sha512(b"old").digest()).decode()
RECIPE = """\
version: 1
name: it  # a name
sources:
  # where the digits come from
  - {client: npm, package: digits, version: 1.0.0, sha512: OLD}  # pinned
  - client: pypi
    package: vectors
    version: '2.0'
    sha256: "PYPI"
steps: [{train: {epochs: 1}}]
"""


@contextmanager
def registry(answers: dict[str, bytes]) -> Iterator[str]:
    """Serve bodies by their paths on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.get(self.path)
            self.send_response(404 if body is None else 200)
            kind = "text/html" if self.path.startswith("/simple/") else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def npm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    versions = {
        one: {"name": "digits", "version": one, "dist": {"integrity": f"sha512-{PIN}", "tarball": "http://127.0.0.1/x"}}
        for one in ("1.0.0", "1.1.0", "2.0.0-rc.1")
    }
    told = {"name": "digits", "dist-tags": {"latest": "1.1.0"}, "versions": versions}
    with registry({"/digits": json.dumps(told).encode()}) as url:
        monkeypatch.setenv("npm_config_registry", url)
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
        yield tmp_path


def source(version: str = "1.0.0") -> NpmSource:
    return NpmSource(client="npm", package="digits", version=version, sha512=OLD)


def test_the_newest_version_of_npm_is_told_with_its_pin(npm: Path) -> None:
    assert newer([source()], {}, npm) == [Newer("digits", "1.0.0", "1.1.0", "sha512", PIN)]


def test_what_is_the_newest_is_nothing_new(npm: Path) -> None:
    assert newer([source("1.1.0")], {}, npm) == []


def test_a_pin_that_is_ahead_of_the_newest_stays(npm: Path) -> None:
    assert newer([source("1.2.0")], {}, npm) == []


def test_a_version_that_is_named_is_taken_also_where_it_is_older(npm: Path) -> None:
    assert newer([source("1.1.0")], {"digits": "1.0.0"}, npm) == [Newer("digits", "1.1.0", "1.0.0", "sha512", PIN)]


def test_a_version_that_npm_does_not_have_is_one_line(npm: Path) -> None:
    with pytest.raises(NewerError) as caught:
        newer([source()], {"digits": "9.9.9"}, npm)
    assert "digits@9.9.9" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_registry_that_does_not_know_the_package_is_one_line(npm: Path) -> None:
    with pytest.raises(NewerError, match=r"^npm view other@latest: failed \(.*\); check the package's name") as caught:
        newer([source().model_copy(update={"package": "other"})], {}, npm)
    assert "\n" not in str(caught.value)


def test_data_that_the_build_environment_ships_is_not_asked_for(tmp_path: Path) -> None:
    assert newer([InstalledSource(client="installed", package="scikit-learn")], {}, tmp_path) == []


def wheel(version: str) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as made:
        made.writestr(
            f"vectors-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: vectors\nVersion: {version}\n"
        )
        made.writestr(f"vectors-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        made.writestr(f"vectors-{version}.dist-info/RECORD", "")
    return body.getvalue()


def test_the_newest_wheel_of_an_index_is_told_with_its_pin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheels = {version: wheel(version) for version in ("2.0", "2.1")}
    names = {version: f"vectors-{version}-py3-none-any.whl" for version in wheels}
    links = "".join(
        f'<a href="/files/{names[one]}#sha256={hashlib.sha256(body).hexdigest()}">{names[one]}</a>'
        for one, body in wheels.items()
    )
    answers = {"/simple/vectors/": links.encode(), **{f"/files/{names[one]}": body for one, body in wheels.items()}}
    with registry(answers) as url:
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"{url}/simple")
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
        monkeypatch.delenv("UV_FIND_LINKS", raising=False)
        own = PypiSource(client="pypi", package="vectors", version="2.0", sha256="0" * 64)
        found = newer([own], {}, tmp_path)
    assert found == [Newer("vectors", "2.0", "2.1", "sha256", hashlib.sha256(wheels["2.1"]).hexdigest())]


def test_only_versions_and_pins_of_a_recipe_change() -> None:
    changes = [Newer("digits", "1.0.0", "1.10.0", "sha512", "NEW"), Newer("vectors", "2.0", "2.1", "sha256", "TOO")]
    expected = RECIPE.replace("1.0.0", "1.10.0").replace("OLD", "NEW").replace("'2.0'", "'2.1'").replace("PYPI", "TOO")
    assert with_versions(RECIPE, changes) == expected


def test_a_version_of_two_parts_stays_a_text() -> None:
    plain = RECIPE.replace("'2.0'", "2024.1.1")
    text = with_versions(plain, [Newer("vectors", "2024.1.1", "2025.10", "sha256", "TOO")])
    assert yaml.safe_load(text)["sources"][1]["version"] == "2025.10"


@given(st.text(f"{string.digits}.abc", min_size=1, max_size=12), st.text(f"{string.hexdigits}+/=", min_size=1))
def test_what_is_written_is_what_yaml_reads(version: str, pin: str) -> None:
    text = with_versions(RECIPE, [Newer("vectors", "2.0", version, "sha256", pin)])
    read = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - strings alone
    assert read["sources"][1]["version"] == version
    assert read["sources"][1]["sha256"] == pin
    before = yaml.load(RECIPE, Loader=yaml.BaseLoader)  # noqa: S506 - strings alone
    assert {**read["sources"][1], "version": "2.0", "sha256": "PYPI"} == before["sources"][1]
    assert (read["sources"][0], read["steps"]) == (before["sources"][0], before["steps"])
