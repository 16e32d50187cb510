"""A model that is pinned to an image: what that was made from, in place of what the recipe says now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from model_build import recipe_runtimes, runtimes
from model_build.bake import INPUTS_LABEL
from model_build.errors import RegistryError
from model_build.recipe import Recipe
from provider.errors import ProviderError
from provider.registry import Repository
from provider.trust import Trust
from provider.values import Fields, Properties, unknown, wrap

OF_INPUTS = ("inputsHash", "parts", "parsed", "reason", "runtime")
PLACE = ("pin", "push", "repository")


def derive(properties: Properties, previous: Properties, asked: Recipe, project: Path) -> Properties:
    """Return what the pinned image was made from, and its server; `asked` is the recipe as it is now.

    It is read once, from the image's labels and report: a state that knows the pin knows the rest. Unknown where the
    registry does not answer. Raises SignatureError, and ProviderError where the image cannot take the place of `asked`.
    """
    fields, before = Fields(properties), Fields(previous)
    if all(fields.text(key) == before.text(key) for key in PLACE) and before.text("inputsHash"):
        return {key: previous[key] for key in OF_INPUTS if key in previous}
    repository = Repository(
        fields.text("push") or "", fields.text("repository") or "", fields.text("dockerConfig"), project
    )
    pin = fields.text("pin") or ""
    try:
        return _of_image(repository, pin, Trust(fields.texts("publicKeys"), None, project), asked)
    except RegistryError:
        return dict.fromkeys(OF_INPUTS, unknown())


def _of_image(repository: Repository, pin: str, trust: Trust, asked: Recipe) -> Properties:
    where = f"{repository.host}/{repository.name}@{pin}"
    if repository.digest(pin) is None:
        raise ProviderError(
            f"pin: {where} is not there; pin a version that `python -m ops history` names, or remove it"
        )
    inputs = repository.labels(pin).get(INPUTS_LABEL, "")
    report = _report(repository, pin, inputs, trust)
    if report.get("inputs") != inputs or not isinstance(report.get("recipe"), dict):
        raise ProviderError(
            f"pin: {where} has no report of its build; check out the commit that it was built from instead"
        )
    recipe = report["recipe"]
    said = (recipe.get("name"), (recipe.get("runtime") or {}).get("name"))
    if said != (asked.name, asked.runtime.name):
        raise ProviderError(
            f"pin: {where} is {said[0]} for {said[1]}, the recipe asks for {asked.name} for {asked.runtime.name}; "
            "check out the commit that it is of instead"
        )
    derived = {
        "inputsHash": inputs,
        "parts": report.get("parts") or {},
        "parsed": recipe,
        "reason": f"pinned to {pin}",
        "runtime": _server(recipe, asked, where),
    }
    return {key: wrap(value) for key, value in derived.items()}


def _report(repository: Repository, pin: str, inputs: str, trust: Trust) -> dict[str, Any]:
    if trust.required:
        return repository.signed_report(pin, trust.public_keys(), inputs)
    return repository.report(pin) or {}


def _server(recipe: dict[str, Any], asked: Recipe, where: str) -> dict[str, Any]:
    """Return what a pod has to know of the image's server, as the image's own recipe says it."""
    try:
        runtime = recipe_runtimes.of_values(recipe["runtime"])
    except ValueError as error:
        raise ProviderError(
            f"pin: {where}: its recipe's runtime is of another form ({' '.join(str(error).split())}); check out the "
            "commit that it is of instead"
        ) from error
    packaging = recipe.get("packaging", "baked")
    return runtimes.of(asked.model_copy(update={"runtime": runtime})).told(packaging)
