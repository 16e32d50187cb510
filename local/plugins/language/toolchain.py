"""Which interpreter runs a program or plugin, and which packages it has."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import json_format
from pulumi.runtime.proto import language_pb2, plugin_pb2

LIST_PACKAGES = """
import importlib.metadata, json, pathlib, re, sys
word, required, rows = sys.argv[1], set(), {}
named = (path for folder in sys.path for path in pathlib.Path(folder).glob(f"*{word}*.dist-info"))
found = map(importlib.metadata.PathDistribution, named) if word else importlib.metadata.distributions()
for d in found:
    name = re.sub(r"[-_.]+", "-", d.metadata["Name"] or "").lower()
    if not name or name in rows:
        continue
    plugin = next((f for f in d.files or [] if f.name == "pulumi-plugin.json"), None) if "pulumi" in name else None
    rows[name] = {"name": name, "version": d.version, "plugin": str(d.locate_file(plugin)) if plugin else ""}
    for line in d.requires or []:
        if "extra ==" not in line:
            required.add(re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", line)[0]).lower())
print(json.dumps([dict(r, required=r["name"] in required) for r in rows.values()]))
"""


class ToolchainError(Exception):
    """The options of the runtime name no interpreter that can be used."""


@dataclass(frozen=True)
class Package:
    """One installed distribution."""

    name: str
    version: str
    plugin: str  # path of its pulumi-plugin.json, or empty
    required: bool  # another distribution needs it


@dataclass(frozen=True)
class Interpreter:
    """A Python interpreter, in a virtual environment or from PATH."""

    path: str
    virtualenv: Path | None

    @property
    def environment(self) -> dict[str, str]:
        """Return this process' environment, with the virtual environment activated."""
        result = dict(os.environ)
        if self.virtualenv is None:
            return result
        result.pop("PYTHONHOME", None)
        bin_folder = str(self.virtualenv / "bin")
        result["PATH"] = os.pathsep.join(filter(None, [bin_folder, result.get("PATH", "")]))
        return {**result, "VIRTUAL_ENV": str(self.virtualenv)}

    def run(self, *arguments: str) -> str:
        """Return what the interpreter prints; raise ToolchainError where it fails."""
        done = subprocess.run(
            [self.path, *arguments], env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise ToolchainError(f"{self.path} {arguments[0]} failed with exit code {done.returncode}: {done.stderr}")
        return done.stdout

    def packages(self, word: str = "") -> list[Package]:
        """Return the installed distributions, or those whose names hold a word, which takes a tenth of the time."""
        return [Package(**row) for row in json.loads(self.run("-c", LIST_PACKAGES, word))]


def options_of(info: language_pb2.ProgramInfo) -> dict[str, str]:
    """Return `runtime.options` of Pulumi.yaml, checked as the official host checks them."""
    options = json_format.MessageToDict(info.options)
    for key in ("virtualenv", "toolchain", "typechecker"):
        if not isinstance(options.get(key, ""), str):
            raise ToolchainError(f"{key} option must be a string")
    if options.get("toolchain", "pip") != "pip":
        raise ToolchainError(
            f"toolchain is {options['toolchain']!r}; the stand-in language host knows pip only: "
            "remove the option, or use the official Pulumi CLI"
        )
    if options.get("typechecker"):
        raise ToolchainError(
            f"typechecker is {options['typechecker']!r}; the stand-in language host runs none: remove the option"
        )
    return {key: value for key, value in options.items() if isinstance(value, str)}


def virtualenv_of(info: language_pb2.ProgramInfo, *, plugin: bool = False) -> Path | None:
    """Return the virtual environment the options name, absolute; a plugin's default is `venv`."""
    name = options_of(info).get("virtualenv") or ("venv" if plugin else "")
    return Path(info.root_directory, name) if name else None


def from_path(environment: Mapping[str, str]) -> str:
    """Return the interpreter on PATH, or the one PULUMI_PYTHON_CMD names."""
    wanted = [environment["PULUMI_PYTHON_CMD"]] if environment.get("PULUMI_PYTHON_CMD") else ["python3", "python"]
    for name in wanted:
        if found := shutil.which(name, path=environment.get("PATH")):
            return found
    raise ToolchainError(f"failed to locate any of {wanted} on your PATH. Have you installed Python 3.11 or greater?")


def resolve(info: language_pb2.ProgramInfo, *, plugin: bool = False) -> Interpreter:
    """Return the interpreter for a program or plugin; raise ToolchainError where there is none."""
    virtualenv = virtualenv_of(info, plugin=plugin)
    if virtualenv is None:
        return Interpreter(from_path(os.environ), None)
    path = virtualenv / "bin" / "python"
    if not path.is_file():
        raise ToolchainError(
            f"The 'virtualenv' option in Pulumi.yaml is set to {options_of(info).get('virtualenv', 'venv')!r}, "
            f"but {virtualenv} is no virtual environment; run `pulumi install` to make it"
        )
    return Interpreter(str(path), virtualenv)


def plugin_version(package_version: str) -> str:
    """Translate a PEP 440 version to the plugin's; empty where it cannot be told (local and epoch versions)."""
    pattern = r"(\d+(?:\.\d+)*)(?:(a|b|rc)(\d+))?(?:\.post(\d+))?(?:\.dev(\d+))?"
    match = re.fullmatch(pattern, package_version)
    if match is None:
        return ""
    release, kind, number, post, dev = match.groups()
    segments = [*release.split("."), "0", "0"][: max(3, release.count(".") + 1)]
    pre = {"a": "-alpha.", "b": "-beta.", "rc": "-rc."}[kind] + number if kind else ""
    build = (f"post{post}" if post else "") + (f"dev{dev}" if dev else "")
    return "v" + ".".join(segments) + pre + (f"+{build}" if build else "")


def dependency_of(package: Package) -> plugin_pb2.PackageDependency | None:
    """Return the resource plugin a distribution needs, or None."""
    if not package.plugin:
        return None
    described = json.loads(Path(package.plugin).read_text(encoding="utf-8"))
    if not described.get("resource"):
        return None
    version = described.get("version") or plugin_version(package.version)
    if not version:
        return None
    result = plugin_pb2.PackageDependency(
        name=described.get("name") or package.name.removeprefix("pulumi-"),
        version=version if version.startswith("v") else f"v{version}",
        kind="resource",
        server=described.get("server", ""),
    )
    if "parameterization" in described:
        json_format.ParseDict(described["parameterization"], result.parameterization)
    return result


def is_present(name: str, environment: Mapping[str, str]) -> bool:
    """Say whether a resource plugin is in PULUMI_HOME or on PATH."""
    if shutil.which(f"pulumi-resource-{name}", path=environment.get("PATH")):
        return True
    home = Path(environment.get("PULUMI_HOME") or Path(environment.get("HOME", "/"), ".pulumi"))
    return any(home.glob(f"plugins/resource-{name}-v*/pulumi-resource-{name}"))
