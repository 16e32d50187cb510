"""The least that a model's answers are held to: what was asked for, else its recipe's gate, else what is usual."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model_build.recipe import load

USUAL = {"accuracy": 0.97, "cosine": 0.98}


@dataclass(frozen=True, slots=True)
class Least:
    """The least of a figure, a share from 0 to 1, and what says so."""

    value: float
    source: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an argument for each figure."""
    for figure, usual in USUAL.items():
        said = f"default: the recipe's gate min_{figure}, or {usual} where it has none"
        parser.add_argument(f"--min-{figure}", type=float, metavar=figure.upper(), help=said)


def asked(arguments: argparse.Namespace) -> dict[str, Least]:
    """Return figure → what was asked for; raises ValueError, whose message is one line."""
    found = {}
    for figure in USUAL:
        value = getattr(arguments, f"min_{figure}")
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"--min-{figure}: {value} is not a share from 0 to 1, such as 0.97")
        if value is not None:
            found[figure] = Least(value, f"--min-{figure}")
    return found


def of_model(recipe: Path, asked_for: Mapping[str, Least]) -> dict[str, Least]:
    """Return figure → the least of a model; raises BuildError where its recipe cannot be read."""
    usual = {figure: Least(value, f"the usual {figure}") for figure, value in USUAL.items()}
    return {**usual, **_gates(recipe), **asked_for}


def _gates(recipe: Path) -> dict[str, Least]:
    if not recipe.is_file():  # a stack's outputs and samples from files need no project
        return {}
    gates = load(recipe).gates
    values = {"accuracy": gates.min_accuracy, "cosine": gates.min_cosine}
    return {
        figure: Least(value, f"gates.min_{figure} of {recipe}") for figure, value in values.items() if value is not None
    }
