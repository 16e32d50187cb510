"""The image's wheels, laid out for the target platform without running it, kept in the cache by their lock's hash."""

import shutil
from collections.abc import Callable
from pathlib import Path

from model_build import bytecode, wheels
from model_build.cache import StepStore
from model_build.code_version import code_version
from model_build.errors import EnvironmentFault
from model_build.hashing import hash_file, hash_value
from model_build.places import ROOT
from model_build.runtimes.onnxruntime import HOME, PYTHON

# Debian 12 has glibc 2.36; wheels for an older one run on it too. 2.34 is what onnxruntime for GPUs on arm64 needs.
TARGETS = {"linux/amd64": "x86_64-manylinux_2_34", "linux/arm64": "aarch64-manylinux_2_34"}
# Scripts name this machine's interpreter, RECORD names the scripts, the rest tells how and from where was installed.
PRUNED_FOLDERS = ("bin", "__pycache__")
PRUNED_FILES = ("RECORD", "REQUESTED", "INSTALLER", "direct_url.json", "uv_cache.json", ".lock")

# What no server runs: a C library beside the Python module that holds all of it, tools of the builder, sources, tests.
UNUSED = (
    "onnxruntime/capi/libonnxruntime.so*",
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "numpy/distutils",
    "numpy/f2py",
    "numpy/**/tests",
    "numpy/**/*.a",
    "**/*.h",
    "**/*.pxd",
    "**/*.pxi",
    "**/*.pyi",
    "**/*.pyx",
)


def lay_out(lock: str, platform: str, store: StepStore, waiting: Callable[[], None]) -> Path:
    """Return the folder of what `lock` names, compiled, for `platform`; raises EnvironmentFault."""
    requirements = ROOT / lock
    key = hash_value([hash_file(requirements), platform, PYTHON, code_version("model_build.dependencies")])

    def make(scratch: Path) -> Path:
        out = scratch / "deps"
        _install(requirements, platform, out)
        prune(out)
        drop_unused(out)
        bytecode.compile_below(out, f"{HOME}/deps", bytecode.interpreter(PYTHON))
        return out

    return store.once(key, make, waiting)


def prune(folder: Path) -> None:
    """Remove what differs from machine to machine."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and path.name == "__pycache__":
            shutil.rmtree(path)
        elif path.is_file() and _names_the_machine(path, folder):
            path.unlink()
    shutil.rmtree(folder / "bin", ignore_errors=True)


def drop_unused(folder: Path) -> None:
    """Remove what no server runs; a licence beside it stays."""
    for pattern in UNUSED:
        for path in sorted(folder.glob(pattern), reverse=True):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _names_the_machine(path: Path, folder: Path) -> bool:
    inside = path.parent == folder or path.parent.name.endswith(".dist-info")
    return inside and path.name in PRUNED_FILES


def _install(requirements: Path, platform: str, out: Path) -> None:
    fault = wheels.lay_out(requirements, out, ["--python-version", PYTHON, "--python-platform", TARGETS[platform]])
    if fault:
        raise EnvironmentFault(
            f"{requirements.name}: uv cannot lay the wheels out for {platform}: {fault}; check the network and the lock"
        )
