"""The programs that stacks of tests need: the engine and its plugins, built where they are missing."""

from __future__ import annotations

import os
from pathlib import Path

from local.build import ENGINE, Module, binaries, build, go_version
from local.plugins.install import install
from local.steps import Steps

CACHE = Path(os.environ.get("MODELSTACK_CACHE", "/var/cache/modelstack"))


def engine_folder() -> Path:
    """Return the folder that holds the engine."""
    return _built(ENGINE)


def pulumi_home() -> Path:
    """Return a PULUMI_HOME with the stand-in plugins."""
    return install(CACHE)


def _built(module: Module) -> Path:
    version = go_version()
    build((module,), CACHE, version, Steps())
    return binaries(module, CACHE, version)
