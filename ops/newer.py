"""Newer versions of a recipe's data packages, and the recipe's text with them: comments and layout stay."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from model_build.recipe_sources import InstalledSource, NpmSource, PypiSource, Source

SECONDS = 120
STABLE = re.compile(r"[0-9]+(\.[0-9]+)*")


class NewerError(Exception):
    """A package's versions cannot be had; the message is one line."""


@dataclass(frozen=True)
class Newer:
    """A data package at another version than the recipe's, with the hash that pins it."""

    package: str
    before: str
    version: str
    key: str
    """`sha512` or `sha256`, as the recipe names it."""
    pin: str

    def __str__(self) -> str:
        return f"{self.package} {self.before} → {self.version}"


def newer(sources: Iterable[Source], wanted: dict[str, str], project: Path) -> list[Newer]:
    """Return what is not the version that `wanted` names, or the newest that its registry tells. Raises NewerError."""
    found = []
    for one in sources:
        if isinstance(one, InstalledSource):
            continue
        version, pin = _npm(one, wanted, project) if isinstance(one, NpmSource) else _pypi(one, wanted, project)
        key = "sha512" if isinstance(one, NpmSource) else "sha256"
        if version == one.version or (one.package not in wanted and not _is_later(version, one.version)):
            continue
        found.append(Newer(one.package, one.version, version, key, pin))
    return found


def _is_later(version: str, than: str) -> bool:
    # A pin that is ahead of what the registry calls its newest is somebody's choice.
    numbers = [[int(part) for part in text.split(".")] for text in (version, than) if STABLE.fullmatch(text)]
    return len(numbers) < 2 or numbers[0] > numbers[1]


def _npm(source: NpmSource, wanted: dict[str, str], project: Path) -> tuple[str, str]:
    asked = f"{source.package}@{wanted.get(source.package, 'latest')}"
    said = _run(["npm", "view", asked, "version", "dist.integrity", "--json"], project)
    try:
        told = json.loads(said)
        return str(told["version"]), str(told["dist.integrity"]).removeprefix("sha512-")
    except (ValueError, KeyError, TypeError) as error:
        raise NewerError(f"npm view {asked}: names no one version with its integrity; name one by --to") from error


def _pypi(source: PypiSource, wanted: dict[str, str], project: Path) -> tuple[str, str]:
    asked = f"{source.package}=={wanted[source.package]}" if source.package in wanted else source.package
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder, "wanted.in")
        requirement.write_text(f"{asked}\n", encoding="utf-8")
        uv = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet", str(requirement)]
        said = _run([*uv, "--no-deps", "--no-header", "--generate-hashes", "--only-binary", ":all:"], project)
    version = re.search(rf"^{re.escape(source.package)}==(\S+)", said, re.MULTILINE)
    hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})", said)
    if version is None or len(hashes) != 1:
        raise NewerError(f"{asked}: has {len(hashes)} wheels, a data package has one; set version and sha256 by hand")
    return version.group(1), hashes[0]


def _run(command: list[str], project: Path) -> str:
    name = " ".join([Path(command[0]).name, *command[1:3]])
    try:
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=SECONDS, check=False)
    except FileNotFoundError as error:
        raise NewerError(f"{command[0]}: is not there; install it") from error
    except subprocess.TimeoutExpired as error:
        raise NewerError(f"{name}: took over {SECONDS} s; check the network, run again") from error
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "nothing was printed").splitlines()[-1]
        raise NewerError(f"{name}: failed ({last}); check the package's name and the network")
    return done.stdout


def with_versions(text: str, changes: Iterable[Newer]) -> str:
    """Return a recipe's text with other versions and pins of its sources, and nothing else changed."""
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    sources = {_at(one, "package").value: one for one in _at(root, "sources").value}
    wanted = []
    for change in changes:
        wanted += [
            (_at(sources[change.package], key), value)
            for key, value in (("version", change.version), (change.key, change.pin))
        ]
    # From the end on, so that the places of what lies before stay as they were.
    for node, value in sorted(wanted, key=lambda one: one[0].start_mark.index, reverse=True):
        text = f"{text[: node.start_mark.index]}{_quoted_as(node, value)}{text[node.end_mark.index :]}"
    return text


def _quoted_as(node: Any, value: str) -> str:
    if node.style in ("'", '"'):
        return f"{node.style}{value}{node.style}"
    # A version of two parts would be read as a number.
    return value if yaml.safe_load(value) == value else f'"{value}"'


def _at(node: Any, key: str) -> Any:
    return next(value for name, value in node.value if name.value == key)
