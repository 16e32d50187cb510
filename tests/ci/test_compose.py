"""docker-compose.yaml with a baked model: Debian's docker and compose, images from a registry of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from local import images, specs
from local.alone import free_port
from local.docker import PACKAGES, Docker, running_docker
from local.errors import PlatformError
from local.roots import RootSpec, libraries, root
from local.steps import Steps
from model_build.environment import build_interpreter
from model_build.places import cache_root
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = RootSpec("compose", packages=("docker-compose",))
pytestmark = [pytest.mark.soak, pytest.mark.build]

BY_DIGEST = "registry.example/models/digits@sha256:" + "0" * 64


@dataclass(frozen=True)
class Compose:
    """The command line of docker-compose on this repository's file, and the environment it reads."""

    environment: Mapping[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        tree = root(COMPOSE, cache_root(), Steps())
        packages = {"PYTHONPATH": str(tree / "usr/lib/python3/dist-packages")}
        # A program of Debian's Python, in whose version its packages are compiled.
        command = ["/usr/bin/python3.11", str(tree / "usr/bin/docker-compose"), "--project-name", "laptop", *arguments]
        own = dict(self.environment) | libraries(tree) | packages
        return subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=False)


def without_images() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("MODEL_IMAGE", "PROMETHEUS_IMAGE")}


def test_an_image_that_is_not_named_is_asked_for() -> None:
    done = Compose(without_images() | {"PROMETHEUS_IMAGE": BY_DIGEST}).run("config")
    assert done.returncode != 0
    assert "is not set; name the image by digest, HOST/REPOSITORY@sha256:" in done.stderr


def baked(host: str) -> tuple[str, str]:
    """Return the references of digits, baked and pushed by a user's command, and of Prometheus."""
    sources, steps = images.Sources(cache_root(), ""), Steps()
    made = images.publish([specs.BASE, *specs.named(["prometheus"])], host, sources, steps)
    build: list[str | Path] = [
        build_interpreter(lambda _: None),
        "-m",
        "model_build",
        "build",
        "--recipe",
        "models/digits/recipe.yaml",
    ]
    push = ["--push", f"{host}/models/digits", "--base", made["base"], "--json"]
    done = subprocess.run([*build, *push], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])["image"], made["prometheus"]


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """A daemon whose containers know each other by name, for which it calls `iptables` in their namespaces."""
    programs = tmp_path_factory.mktemp("programs")
    tree = root(PACKAGES, cache_root(), Steps())
    (programs / "iptables").symlink_to(tree / "usr/sbin/xtables-legacy-multi")
    try:
        with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
            patch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
            patch.setenv("XTABLES_LIBDIR", str(next(tree.glob("usr/lib/*/xtables"))))
            yield stack.enter_context(running_docker(tmp_path_factory.mktemp("docker")))
    except PlatformError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def laptop(host: str, docker: Docker) -> Iterator[dict[str, str]]:
    """The environment of a running pair of containers."""
    model, prometheus = baked(host)
    socket = str(docker.command[-1])
    ports = {"MODEL_PORT": str(free_port()), "PROMETHEUS_PORT": str(free_port())}
    own = without_images() | ports | {"DOCKER_HOST": socket, "MODEL_IMAGE": model, "PROMETHEUS_IMAGE": prometheus}
    try:
        up = Compose(own).run("up", "--detach")
        assert up.returncode == 0, up.stderr
        yield own
    finally:
        Compose(own).run("down", "--volumes")


def test_the_model_answers_and_prometheus_scrapes_it(laptop: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{laptop['MODEL_PORT']}/v2/models/digits"
    [wanted] = urllib3.request("GET", url).json()["inputs"]
    tensor = {**wanted, "shape": [1, *wanted["shape"][1:]], "data": [0.0] * 64}
    answer = urllib3.request("POST", f"{url}/infer", json={"inputs": [tensor]})
    assert (answer.status, answer.json()["outputs"][0]["shape"]) == (200, [1, 10])
    asked = f"http://127.0.0.1:{laptop['PROMETHEUS_PORT']}/api/v1/query?query=modelstack_requests_total"

    def scraped() -> bool:
        found = urllib3.request("GET", asked).json()["data"]["result"]
        return any(one["metric"].get("model") == "digits" and int(one["value"][1]) >= 1 for one in found)

    until(scraped, "Prometheus has counted the request")


def test_both_say_that_they_are_healthy(laptop: dict[str, str], docker: Docker) -> None:
    def states() -> list[str]:
        listed = Compose(laptop).run("ps", "--quiet").stdout.split()
        command = [*docker.command, "inspect", "--format", "{{.State.Health.Status}}", *listed]
        return subprocess.run(
            command, env=docker.environment, capture_output=True, text=True, check=True
        ).stdout.split()

    until(lambda: states() == ["healthy", "healthy"], "both are healthy")
