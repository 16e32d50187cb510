"""What tests of several files of this folder are given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from model_build.places import ROOT


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of Ansible's programs, in an environment of its own: under the GPL, they are never imported."""
    uv, folder = str(Path(sys.executable).with_name("uv")), tmp_path_factory.mktemp("ansible") / "env"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    into = ("--python", str(folder / "bin/python"), "--require-hashes", "--no-deps")
    subprocess.run([uv, "pip", "install", "--quiet", *into, "-r", str(ROOT / "requirements-hosts.txt")], check=True)
    return folder / "bin"
