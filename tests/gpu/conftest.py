"""A server on the GPU with every model of the tests.

MODELSTACK_TEST_DEVICE=cpu tries the tests themselves without a GPU; MODELSTACK_TEST_MODELS names a folder that
`python -m tests.gpu.built` made elsewhere; MODELSTACK_GPU_PYTHON an interpreter with the image's wheels.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.gpu import models as networks
from benchmarks.gpu.machine import NoGpuError, card, gpu_python
from model_build.environment import build_interpreter
from tests.gpu import built
from tests.model_server import running
from tests.model_server.running import ROOT, Server


@dataclass(frozen=True)
class Device:
    """Where the tests run: `cuda`, or `cpu` where they are tried; the interpreter of servers."""

    name: str
    python: str

    @property
    def settings(self) -> dict[str, str]:
        return {"MODELSTACK_DEVICE": self.name, "MODELSTACK_DEADLINE_SECONDS": "60"}


@pytest.fixture(scope="session")
def device() -> Device:
    name = os.environ.get("MODELSTACK_TEST_DEVICE") or "cuda"
    if name == "cuda":
        try:
            card()
        except NoGpuError as error:
            pytest.fail(str(error), pytrace=False)
    return Device(name, str(gpu_python()))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for name in networks.NETS:
        networks.write(root, name)
    for folder in _recipes(tmp_path_factory).iterdir():
        shutil.copytree(folder, root / folder.name)
    running.write_lookup(root)
    return root


def _recipes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("MODELSTACK_TEST_MODELS")
    if named:
        return Path(named)
    folder = tmp_path_factory.mktemp("recipes")
    python = build_interpreter(lambda line: print(line, file=sys.stderr, flush=True))
    subprocess.run([python, "-m", built.__name__, folder], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="session")
def server(device: Device, models: Path) -> Iterator[Server]:
    with running.running(models, python=device.python, given=device.settings) as server:
        yield server
