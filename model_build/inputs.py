"""The hash of everything an image is made from, in named parts, and in words what changed."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_build import native, runtimes
from model_build import recipe as recipes
from model_build.errors import EnvironmentFault, RecipeError
from model_build.hashing import hash_folder, hash_value, source_files
from model_build.places import ROOT
from model_build.recipe import Recipe
from model_build.recipe_sources import InstalledSource, Source

BUILD_REQUIREMENTS = "requirements-build.txt"
TENSORFLOW_REQUIREMENTS = "requirements-tensorflow.txt"
RECIPES = "recipe*.yaml"  # another recipe of the same model is no part of this one
NATIVE = "native module"  # a part where the recipe asks for it
_DIGEST = re.compile(r"@(sha256:[0-9a-f]{64})$")
_PARTS = (
    "recipe",
    "model sources",
    "data",
    "build requirements",
    "image requirements",
    "model_build",
    "model_server",
    "base image",
    "platforms",
)


@dataclass(frozen=True)
class Inputs:
    """Everything that decides an image; `hash` is 64 hex digits, `recipe` is `parsed` as plain values."""

    hash: str
    parts: Mapping[str, str]
    recipe: Mapping[str, Any]
    parsed: Recipe

    @property
    def tag(self) -> str:
        """The tag an image built from these inputs carries."""
        return f"inputs-{self.hash}"

    def reason(self, previous_parts: Mapping[str, str], previous_recipe: Mapping[str, Any] | None = None) -> str:
        """Say what changed since `previous_parts`; empty where nothing did."""
        names = [*_PARTS, *sorted(set(previous_parts) - set(_PARTS))]
        changed = [name for name in names if self.parts.get(name) != previous_parts.get(name)]
        return "; ".join(self._told(name, previous_recipe) for name in changed)

    def _told(self, name: str, previous_recipe: Mapping[str, Any] | None) -> str:
        if previous_recipe is not None and name in ("recipe", "data", "platforms"):
            said = _of_part(name, differences(previous_recipe, self.recipe))
            if said:
                return f"{name}: " + ", ".join(said)
        return f"{name} changed"


def compute(recipe: Path, base: str | None, *, root: Path = ROOT) -> Inputs:
    """Return the inputs of the image that `recipe` and the `base` image (by digest) make.

    Raises RecipeError for the recipe, the model's folder or a base without a digest, EnvironmentFault for
    a file of the checkout that is missing.
    """
    parsed = recipes.load(recipe)
    values = parsed.model_dump(mode="json", exclude_none=True)
    own = {key: value for key, value in values.items() if key not in ("sources", "platforms")}
    parts = {
        "recipe": hash_value(own),
        "model sources": hash_folder(recipe.parent, leave_out=[recipe, *recipe.parent.glob(RECIPES)]),
        "data": hash_value([_version_of(source, recipe, root) for source in parsed.sources]),
        "build requirements": _of_requirements(parsed, root),
        "image requirements": _of_wheels(parsed, root),
        "model_build": _of_folder(root / "model_build"),
        "model_server": _of_server(root / "model_server"),
        "base image": hash_value(_digest_of(base)),
        "platforms": hash_value(values["platforms"]),
    }
    if runtimes.of(parsed).native:
        parts[NATIVE] = _of_native(parsed, root)
    return Inputs(hash_value(parts), parts, values, parsed)


def pinned_version(package: str, root: Path = ROOT) -> str | None:
    """Return the version of `package` that the build requirements pin, or None."""
    lines = _read(root / BUILD_REQUIREMENTS).decode()
    found = re.search(rf"^{re.escape(package)}==([^\s;\\]+)", lines, re.MULTILINE)
    return found.group(1) if found else None


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return `key.path: old → new` for each value that differs between two parsed recipes."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    paths = [*after, *(path for path in before if path not in after)]
    return [
        f"{path}: {_said(before, path)} → {_said(after, path)}" for path in paths if before.get(path) != after.get(path)
    ]


def _version_of(source: Source, recipe: Path, root: Path) -> dict[str, str]:
    if isinstance(source, InstalledSource):
        return {"client": source.client, "package": source.package, "version": _installed(source, recipe, root)}
    return source.model_dump(mode="json")


def _installed(source: InstalledSource, recipe: Path, root: Path) -> str:
    version = pinned_version(source.package, root)
    if version is None:
        raise RecipeError(
            f"{recipe}: sources: {source.package!r} is not pinned in {BUILD_REQUIREMENTS}; add it to "
            f"{BUILD_REQUIREMENTS.removesuffix('.txt')}.in and compile"
        )
    return version


def _digest_of(base: str | None) -> str:
    if base is None:
        return ""
    found = _DIGEST.search(base)
    if not found:
        raise RecipeError(f"base: {base!r} has no digest; name the base image as NAME@sha256:<64 hex digits>")
    return found.group(1)


def _of_requirements(recipe: Recipe, root: Path) -> str:
    """Return the hash of what builds the image: of TensorFlow's environment too where the recipe loads its models."""
    own = _of_file(root / BUILD_REQUIREMENTS)
    if recipe.load is None or recipe.load.format != "tensorflow":
        return own
    return hash_value([own, _of_file(root / TENSORFLOW_REQUIREMENTS)])


def _of_native(recipe: Recipe, root: Path) -> str:
    for platform in recipe.platforms:
        native.require_platform(platform)
    return native.made_from(root)


def _of_wheels(recipe: Recipe, root: Path) -> str:
    return hash_value([_of_file(root / lock) for lock in runtimes.of(recipe).wheels])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be read ({error.strerror}); check the checkout out again") from error


def _of_file(path: Path) -> str:
    return hashlib.sha256(_read(path)).hexdigest()


def _of_folder(folder: Path) -> str:
    if not folder.is_dir():
        raise EnvironmentFault(f"{folder}: is missing; check the checkout out again")
    return hash_folder(folder)


def _of_server(folder: Path) -> str:
    if not folder.is_dir():
        raise EnvironmentFault(f"{folder}: is missing; check the checkout out again")
    # The native module is a part of its own, of those images alone that hold it.
    native = folder / "native"
    return hash_folder(folder, leave_out=source_files(native) if native.is_dir() else ())


def _of_part(name: str, told: list[str]) -> list[str]:
    prefix = {"data": "sources", "platforms": "platforms"}.get(name)
    if prefix is not None:
        return [one for one in told if one.startswith(prefix)]
    return [one for one in told if not one.startswith(("sources", "platforms"))]


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
        return
    if isinstance(value, list | tuple) and value and all(isinstance(one, Mapping) for one in value):
        for index, inner in enumerate(value):
            yield from _leaves(inner, _place(path, index, inner))
        return
    yield path, value


def _place(path: str, index: int, inner: Mapping[str, object]) -> str:
    return path if len(inner) == 1 else f"{path}[{index}]"


def _said(values: Mapping[str, object], path: str) -> str:
    if path not in values:
        return "absent"
    value = values[path]
    # A value that went through the engine's state comes back as a float.
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole and isinstance(value, float) else str(value)
