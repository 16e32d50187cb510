"""`pulumi new` from the repository's folder, by the real engine: what it makes, and its first `up`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import settings
from ops.engine import own_settings
from tests.conftest import Platform
from tests.e2e.checkout import Checkout, clone
from tests.e2e.conftest import OF_THIS_RUN
from tests.provider.programs import engine_folder, pulumi_home

NAMED = ("--name", "shop", "--description", "Models: of a shop")


def files(folder: Path) -> dict[str, tuple[bytes, bool]]:
    """Every file below a folder: what it holds, and whether it may be executed."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), os.access(path, os.X_OK)) for path in found}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "modelstack"
    clone(folder)
    return folder


@pytest.fixture(scope="module")
def made(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "shop"
    environment = os.environ | {
        "PATH": f"{engine_folder()}{os.pathsep}{os.environ['PATH']}",
        "PULUMI_HOME": str(pulumi_home()),
        "PULUMI_BACKEND_URL": f"file://{folder.parent}",
        "PULUMI_PYTHON_CMD": sys.executable,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    command = ["pulumi", "new", str(template), *NAMED, "--dir", str(folder), "--yes", "--generate-only"]
    subprocess.run(command, env=environment, check=True)
    return folder


def test_a_new_project_bears_the_name_that_was_asked_for_and_is_no_template(made: Path) -> None:
    document = yaml.safe_load((made / "Pulumi.yaml").read_text())
    assert (document["name"], document["description"]) == ("shop", "Models: of a shop")
    assert "template" not in document


def test_every_other_file_comes_over_as_it_is(template: Path, made: Path) -> None:
    there, here = files(template), files(made)
    assert there.pop("Pulumi.yaml") != here.pop("Pulumi.yaml")
    assert sorted(here) == sorted(there)
    assert [name for name, file in here.items() if file != there[name]] == []


def test_the_stacks_of_a_new_project_load(made: Path) -> None:
    for stack in ("dev", "test"):
        assert set(settings.load(own_settings(made, stack), made, stack).models) == {"digits", "mnist"}


def test_a_key_in_a_namespace_that_nobody_reads_is_refused(made: Path) -> None:
    with pytest.raises(
        settings.SettingsError, match=r"Pulumi.dev.yaml: shop:models: is read by nobody; write modelstack:models"
    ):
        settings.load({"shop:models": '{"digits": {}}', "shop:cluster": "{}", "shop:base": ""}, made, "dev")


@pytest.fixture
def shop(platform: Platform, template: Path, tmp_path: Path) -> Iterator[Checkout]:
    """A new project with its first stack, made as a user answers the prompts, beside the stacks of other tests."""
    folder = tmp_path / "shop"
    kept = {name: value for name, value in platform.environment.items() if name not in OF_THIS_RUN}
    outside = Checkout(tmp_path, kept | {"PYTHON": sys.executable, "PULUMI_PYTHON_CMD": sys.executable})
    asked = ("--stack", "dev", "--config", "modelstack:namespace=shop")
    done = outside.run("pulumi", "new", str(template), *NAMED, *asked, "--dir", str(folder), "--yes")
    assert done.code == 0, done.said
    found = Checkout(folder, outside.environment)
    yield found
    found.make("destroy")


@pytest.mark.soak
@pytest.mark.e2e
@pytest.mark.build
@pytest.mark.timeout(1800)
def test_the_first_up_of_a_new_project_serves_its_models(shop: Checkout) -> None:
    shop.must("preview")
    shop.must("up")
    said = shop.must("predict")
    assert [line.partition(":")[0] for line in said.splitlines() if "correct over HTTP" in line] == ["digits", "mnist"]
    assert shop.outputs()["namespace"] == "shop"
