"""`diff`: what two builds differ in, from their reports: recipe, inputs, figures."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_build.errors import RecipeError
from model_build.inputs import differences

FIGURES = ("accuracy", "cosine", "agreement", "drop", "size", "size_ratio", "latency_ms", "speedup")


@dataclass(frozen=True)
class Difference:
    """How one build became another: keys of the recipe, further inputs, and each figure before and after."""

    recipe: list[str]
    inputs: list[str]
    figures: dict[str, tuple[float, float]]

    def lines(self) -> list[str]:
        """Return it for people."""
        told = [*(f"recipe   {one}" for one in self.recipe), *(f"inputs   {one} changed" for one in self.inputs)]
        told += [f"{name:<12} {_short(old):>12} → {_short(new):<12}" for name, (old, new) in self.figures.items()]
        return told or ["the two builds have the same inputs and figures"]

    def values(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


def compare(old: str, new: str, reports: Path) -> Difference:
    """Compare two reports, each a path or the first digits of an inputs hash. Raises RecipeError."""
    before, after = (_read(_find(one, reports)) for one in (old, new))
    changed = sorted(
        name
        for name in {*before["parts"], *after["parts"]}
        if name != "recipe" and before["parts"].get(name) != after["parts"].get(name)
    )
    return Difference(differences(before["recipe"], after["recipe"]), changed, _figures(before, after))


def _figures(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    pairs = {name: (before["metrics"].get(name), after["metrics"].get(name)) for name in FIGURES}
    return {name: pair for name, pair in pairs.items() if None not in pair and pair[0] != pair[1]}


def _find(named: str, reports: Path) -> Path:
    if Path(named).is_file():
        return Path(named)
    found = sorted(reports.glob(f"{named}*.json")) if named.isalnum() else []
    if len(found) != 1:
        said = f"names {len(found)} reports in {reports}"
        raise RecipeError(f"diff: {named!r} {said}, the limit is 1; give a path or more digits of the inputs hash")
    return found[0]


def _read(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_bytes())
        return {name: dict(report[name]) for name in ("parts", "recipe", "metrics")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecipeError(f"diff: {path} is no report of a build ({error}); name one that `build` printed") from error


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"
