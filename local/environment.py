"""What `pulumi` needs in its environment on the embedded platform, each only where the user has not set it."""

import os
import re
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from local import build, checks
from local.build import ENGINE, Module
from local.config import private
from local.errors import PlatformError, RefusedError
from local.instance import Instance
from local.plugins.install import InstallError, home_path, install
from local.steps import Steps

OLDEST = (3, 259, 0)
NEXT_MAJOR = 4


def own_pulumi(instance: Instance, environ: Mapping[str, str]) -> Path | None:
    """The user's own `pulumi` on PATH, which this platform's caches do not hold; None where there is none."""
    folders = [folder for folder in _path(environ) if not Path(folder).is_relative_to(instance.cache)]
    found = shutil.which("pulumi", path=os.pathsep.join(folders))
    return Path(found) if found else None


def engine_modules(instance: Instance, environ: Mapping[str, str]) -> tuple[Module, ...]:
    """The engine, where the user has none; raises RefusedError where theirs is too old or too new."""
    own = own_pulumi(instance, environ)
    if own is None:
        return (ENGINE,)
    _check_version(own)
    return ()


def _check_version(pulumi: Path) -> None:
    told = subprocess.run([str(pulumi), "version"], capture_output=True, text=True, check=False).stdout.strip()
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", told)
    if not found or not OLDEST <= tuple(map(int, found.groups())) < (NEXT_MAJOR,):
        oldest = ".".join(map(str, OLDEST))
        raise RefusedError(
            f"pulumi: {pulumi} is {told or 'of no version'}, at least {oldest} and less than {NEXT_MAJOR} is needed; "
            "install that, or take it off PATH to have one built"
        )


def prepare(instance: Instance, steps: Steps) -> None:
    """Make the plugins' home, the folder of states and its passphrase where they are missing. Raises PlatformError."""
    if not home_path(instance.cache).is_dir():
        with steps.step("install the stand-in plugins"):
            try:
                install(instance.cache)
            except InstallError as error:
                raise PlatformError(f"plugins: {' '.join(str(error).split())}") from error
    (instance.data / "state").mkdir(parents=True, exist_ok=True, mode=0o700)
    if not _passphrase(instance).exists():
        private(_passphrase(instance), f"{secrets.token_urlsafe(32)}\n")


def lines(instance: Instance, steps: Steps, environ: Mapping[str, str]) -> Iterator[str]:
    """`export` lines for a shell; builds the engine where it is missing. Raises PlatformError."""
    modules = engine_modules(instance, environ)
    go = build.go_version() if modules else ""
    if build.missing(modules, instance.cache, go):
        checks.disk("MODELSTACK_CACHE", instance.cache, checks.BUILD_BYTES)
        build.build(modules, instance.cache, go, steps)
    prepare(instance, steps)
    engine = [build.binaries(module, instance.cache, go) for module in modules]
    for name, value in variables(instance, engine, environ).items():
        yield f"export {name}={shlex.quote(value)}"


def variables(instance: Instance, engine: list[Path], environ: Mapping[str, str]) -> dict[str, str]:
    """Name → value of what the user has not set; PATH where it does not begin with the platform's folders yet."""
    home = home_path(instance.cache)
    first = [str(home / "bin"), *map(str, engine)]
    wanted = {
        "MODELSTACK_INSTANCE": instance.name,
        "MODELSTACK_DATA": str(instance.data.parent),
        "MODELSTACK_CACHE": str(instance.cache),
        "PULUMI_BACKEND_URL": f"file://{instance.data / 'state'}",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    # With their own engine come their own plugins.
    wanted |= {"PULUMI_HOME": str(home)} if engine else {}
    if "PULUMI_CONFIG_PASSPHRASE" not in environ:
        wanted["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(_passphrase(instance))
    missing = {name: value for name, value in wanted.items() if name not in environ}
    path = os.pathsep.join([*first, *(folder for folder in _path(environ) if folder not in first)])
    return missing | ({"PATH": path} if path != environ.get("PATH") else {})


def _path(environ: Mapping[str, str]) -> list[str]:
    return [folder for folder in environ.get("PATH", os.defpath).split(os.pathsep) if folder]


def _passphrase(instance: Instance) -> Path:
    return instance.data / "passphrase"
