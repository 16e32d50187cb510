"""Environments of the checkout: made on first use from hashed requirements, made again when they change."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_build import telling
from model_build.errors import EnvironmentFault, one_line
from model_build.hashing import hash_file, hash_value
from model_build.locks import exclusive
from model_build.places import ROOT, cache_root
from model_build.telling import Program, Tell

UV_FOLDER = ".venv-uv"
UV_REQUIREMENTS = "requirements-uv.txt"
STAMP = ".requirements"
# What another environment left in the variables must not reach the new one.
WITHHELD = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Environment:
    """One environment: what people call it, its folder and lock, and the free bytes that making it needs."""

    name: str
    folder: str
    requirements: str
    needed: int


# torch from PyPI brings CUDA; measured 5.5 GB installed, and wheels lie beside it while they are unpacked.
BUILD = Environment("the build environment", ".venv-build", "requirements-build.txt", 8_000_000_000)
TENSORFLOW = Environment("the TensorFlow environment", ".venv-tensorflow", "requirements-tensorflow.txt", 3_000_000_000)


def build_interpreter(tell: Tell, root: Path = ROOT) -> Path:
    """Return `.venv-build/bin/python` of the checkout, as `interpreter` does."""
    return interpreter(BUILD, tell, root)


def interpreter(environment: Environment, tell: Tell, root: Path = ROOT) -> Path:
    """Return the interpreter of an environment, made where it is missing, half made or outdated.

    `tell` gets progress, about once a second; what it raises stops the work. Raises EnvironmentFault.
    """
    python = root / environment.folder / "bin" / "python"
    wanted = _wanted(root / environment.requirements)
    if _is_ready(python, wanted):
        return python
    lock = cache_root() / "locks" / f"environment-{hash_value([str(root), environment.folder])[:16]}"
    with exclusive(lock, lambda: tell(f"waiting for another process that makes {environment.name}")) as held:
        if not _is_ready(python, wanted):
            _make(environment, root, wanted, held, tell)
    return python


def _wanted(requirements: Path) -> str:
    try:
        return hash_file(requirements)
    except OSError as error:
        raise EnvironmentFault(
            f"{requirements}: cannot be read ({error.strerror}); check the checkout out again"
        ) from error


def _is_ready(python: Path, wanted: str) -> bool:
    try:
        return python.exists() and (python.parent.parent / STAMP).read_text() == wanted
    except OSError:
        return False


def _make(environment: Environment, root: Path, wanted: str, held: int, tell: Tell) -> None:
    folder = root / environment.folder
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise EnvironmentFault(f"{folder}: cannot be removed ({error.strerror}); remove it by hand") from error
    free = shutil.disk_usage(root).free
    if free < environment.needed:
        raise EnvironmentFault(
            f"{folder}: {free / 1e9:.1f} GB are free, the limit is {environment.needed / 1e9:.0f} GB; free some space"
        )
    uv = _uv(root, held, tell)
    _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], f"making {environment.name}", held, tell)
    install = [uv, "pip", "install", "--python", str(folder / "bin" / "python"), "--require-hashes"]
    # The lock names everything; what a package asks for beside it was left out on purpose.
    install += ["--no-deps", "--requirement", str(root / environment.requirements)]
    _run(install, f"installing {environment.name}", held, tell)
    unfinished = folder / f"{STAMP}.new"
    unfinished.write_text(wanted)
    unfinished.rename(folder / STAMP)
    tell(f"{environment.name} is ready")


def _uv(root: Path, held: int, tell: Tell) -> str:
    pinned = _pinned_uv(root)
    kept = root / UV_FOLDER / "bin" / "uv"
    candidates = (str(root / ".venv" / "bin" / "uv"), str(Path(sys.executable).parent / "uv"), shutil.which("uv"))
    for one in (*candidates, str(kept)):
        if one is not None and _version(one) == pinned:
            return one
    what = f"installing uv {pinned}"
    _run([sys.executable, "-m", "venv", "--clear", str(kept.parent.parent)], what, held, tell)
    pip = [str(kept.with_name("python")), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--require-hashes", "--requirement", str(root / UV_REQUIREMENTS)], what, held, tell)
    return str(kept)


def _pinned_uv(root: Path) -> str:
    path = root / UV_REQUIREMENTS
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be read ({error.strerror}); check the checkout out again") from error
    found = next((line.removeprefix("uv==").rstrip("\\ ") for line in lines if line.startswith("uv==")), None)
    if found is None:
        raise EnvironmentFault(f"{path}: pins no uv; check the checkout out again")
    return found


def _version(uv: str) -> str | None:
    try:
        said = subprocess.run([uv, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    return said[1] if len(said) > 1 else None


def _run(command: Sequence[str], what: str, held: int, tell: Tell) -> None:
    """Run `command` and tell of it; it holds the lock too, so that it is waited for where this process is killed."""
    environment = {key: value for key, value in os.environ.items() if key not in WITHHELD}
    tell(what)
    ended = telling.run(Program(command, what, environment, held=(held,)), tell)
    if ended.code:
        end = one_line(" ".join(ended.lines[-5:]), 600)
        raise EnvironmentFault(
            f"{what} failed with exit code {ended.code}: {end}; check the package index's settings, the network and "
            "that python3-venv is installed, then run again"
        )


def main() -> int:
    """Print the interpreter's path, progress on standard error; return 0, or 7 where it cannot be made."""
    try:
        print(build_interpreter(lambda line: print(line, file=sys.stderr, flush=True)))
    except EnvironmentFault as error:
        print(f"error ({error.kind}): {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
