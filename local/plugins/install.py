"""Lays the stand-in plugins out as a PULUMI_HOME of their own, independent of any checkout."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
LANGUAGE_VERSION = "3.259.0"
KUBERNETES_VERSION = "4.34.2"
AWS_VERSION = "7.51.1"
# The engine looks beside its own binary first, then for `<kind>-<name>-v<version>/pulumi-<kind>-<name>` here.
PLUGINS = {
    f"language-python-v{LANGUAGE_VERSION}/pulumi-language-python": "local.plugins.language",
    f"resource-kubernetes-v{KUBERNETES_VERSION}/pulumi-resource-kubernetes": "local.plugins.kubernetes",
    f"resource-aws-v{AWS_VERSION}/pulumi-resource-aws": "local.plugins.aws",
}
# -I keeps the checkout, PYTHONPATH and user packages out of the plugin; the program's environment is left as it is.
START = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module(sys.argv.pop(1), run_name='__main__')"
LAUNCHER = """#!/bin/sh
exec {python} -I -c {start} {library} {module} "$@"
"""

WRAPPER = """#!/bin/sh
exec {python} -I -c {start} {library} local.plugins.state {folder} "$@"
"""


class InstallError(Exception):
    """The plugins' environment cannot be made."""


def sources() -> Iterator[Path]:
    """Yield the files the plugins are made of, in a fixed order."""
    return iter(sorted(path for path in HERE.rglob("*.py") if "__pycache__" not in path.parts))


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]


def _environment_key() -> str:
    return _digest(REQUIREMENTS.read_bytes(), sys.version.encode(), sys.base_prefix.encode())


def home_path(cache: Path) -> Path:
    """Return where these sources' PULUMI_HOME lies in a cache."""
    named = [part for path in sources() for part in (str(path.relative_to(HERE)).encode(), path.read_bytes())]
    return cache.absolute() / f"pulumi-home-{_digest(_environment_key().encode(), *named)}"


def install(cache: Path) -> Path:
    """Return a PULUMI_HOME with the stand-in plugins, made on the first call; raise InstallError where it cannot be."""
    home = home_path(cache)
    if home.is_dir():
        return home
    cache.mkdir(parents=True, exist_ok=True)
    environment = cache.absolute() / f"pulumi-plugins-venv-{_environment_key()}"
    if not environment.is_dir():
        _placed(environment, _make_environment)
    _placed(home, lambda folder: _make_home(folder, home, environment))
    return home


def _placed(target: Path, make: Callable[[Path], None]) -> None:
    """Make a folder under a temporary name and rename it: a killed run leaves nothing that looks complete."""
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        make(folder)
        folder.chmod(0o755)
        _rename(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _rename(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError:
        if not target.is_dir():  # otherwise another run has made the same folder meanwhile
            raise


def _make_environment(folder: Path) -> None:
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    uv = shutil.which("uv", path=beside)
    python = str(folder / "bin" / "python")
    wanted = ["install", "--require-hashes", "--no-deps", "-r", str(REQUIREMENTS)]
    if uv:
        _run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)])
        _run([uv, "pip", *wanted, "--quiet", "--compile-bytecode", "--python", python])
        return
    _run([sys.executable, "-m", "venv", str(folder)])
    _run([python, "-m", "pip", *wanted, "--quiet", "--disable-pip-version-check"])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip()
        raise InstallError(f"{' '.join(command)} failed with exit code {done.returncode}: {last}")


def _make_home(folder: Path, home: Path, environment: Path) -> None:
    for path in sources():
        copy = folder / "lib" / "local" / "plugins" / path.relative_to(HERE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    words = {
        "python": shlex.quote(str(environment / "bin" / "python")),
        "start": shlex.quote(START),
        "library": shlex.quote(str(home / "lib")),
    }
    for name, module in PLUGINS.items():
        _executable(folder / "plugins" / name, LAUNCHER.format(module=module, **words))
    _executable(folder / "bin" / "pulumi", WRAPPER.format(folder=shlex.quote(str(home / "bin")), **words))


def _executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def main() -> None:
    """Print the PULUMI_HOME, made where it is missing."""
    cache = Path(os.environ.get("MODELSTACK_CACHE", "/var/cache/modelstack"))
    sys.stdout.write(f"{install(cache)}\n")


if __name__ == "__main__":
    main()
