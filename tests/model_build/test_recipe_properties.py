"""Whatever a recipe's text is, it is a recipe or refused in one line that names where and what to do."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from model_build import recipe as recipes
from model_build.errors import RecipeError
from model_build.places import ROOT
from model_build.recipe import Recipe

SEARCHED: dict[str, Any] = {
    "version": 1,
    "name": "searched",
    "model": "model.py:build",
    "data": "data.py:load",
    "sources": [{"client": "installed", "package": "scikit-learn"}],
    "seed": 7,
    "steps": [{"train": {"epochs": 3, "augment": {"shift": 1}}}, {"export": {}}],
    "search": {
        "seconds": 60,
        "candidates": {
            "int8": [{"quantize": {"method": "static-int8", "keep_fp32": {"max_drop": 0.01}}}],
            "small": [
                {"prune": {"method": "structured", "amount": 0.5, "finetune": {"epochs": 1}}},
                {"separable": {}},
                {"distill": {"train": {"epochs": 2}, "features": {"teacher": "0", "student": "1"}}},
                {"quantize": {"method": "qat-int8", "finetune": {"epochs": 1}}},
            ],
        },
    },
    "gates": {"min_accuracy": 0.9, "parity": {"batches": [1, 2, 7]}},
}
SOUND = [SEARCHED] + [
    yaml.safe_load((ROOT / "models" / name / "recipe.yaml").read_text()) for name in ("digits", "mnist", "minilm")
]
Place = tuple[Any, ...]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Yield where each value of a document lies."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*place, key)
        yield from places(inner, (*place, key))


def at(document: Any, place: Place) -> Any:
    for key in place:
        document = document[key]
    return document


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """Return a sound recipe of which one value was replaced or removed, or which got a key too many."""
    document = copy.deepcopy(draw(st.sampled_from(SOUND)))
    place = draw(st.sampled_from(list(places(document))))
    holder, key = at(document, place[:-1]), place[-1]
    what = draw(st.sampled_from(["replace", "remove", "add"]))
    if what == "remove":
        del holder[key]
    elif what == "add" and isinstance(holder, dict):
        holder[draw(st.text(max_size=8))] = draw(VALUES)
    else:
        holder[key] = draw(VALUES)
    return document


def outcome(text: bytes) -> Recipe | str:
    """Return the recipe, or the message that refuses it; any other error goes on."""
    try:
        return recipes.parse(text, "recipe.yaml")
    except RecipeError as error:
        return str(error)


def is_sound(found: Recipe | str) -> bool:
    """Whether it is a recipe, or a refusal in one line that says where and what to do."""
    return isinstance(found, Recipe) or (found.startswith("recipe.yaml: ") and "\n" not in found and ";" in found)


def test_the_recipes_that_are_damaged_here_are_sound() -> None:
    for document in SOUND:
        assert isinstance(outcome(yaml.safe_dump(document).encode()), Recipe)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_recipe_or_refused(text: bytes) -> None:
    assert is_sound(outcome(text))


@settings(deadline=None)
@given(VALUES)
def test_any_document_is_a_recipe_or_refused(document: Any) -> None:
    assert is_sound(outcome(yaml.safe_dump(document, allow_unicode=True).encode()))


@settings(max_examples=300, deadline=None)
@given(damaged())
def test_a_damaged_recipe_is_a_recipe_or_refused(document: Any) -> None:
    found = outcome(yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode())
    assert is_sound(found)
    if isinstance(found, Recipe):
        again = json.dumps(found.model_dump(mode="json", exclude_unset=True)).encode()
        assert outcome(again) == found
