"""`new`: the folder of a model that trains, passes its own gates, and waits to be replaced by a real one."""

import re
from pathlib import Path

from model_build.errors import RecipeError
from model_build.recipe_steps import NAME, NAME_LENGTH

TEMPLATES = Path(__file__).parent / "templates"
FILES = ("recipe.yaml", "model.py", "data.py")


def create(name: str, models: Path) -> Path:
    """Write `models/name/` and return its recipe; raises RecipeError for a name or folder that cannot be taken."""
    if len(name) > NAME_LENGTH or not re.fullmatch(NAME, name):
        raise RecipeError(f"name: {name!r} must match {NAME}, at most {NAME_LENGTH} characters; take another name")
    folder = models / name
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise RecipeError(f"name: {folder} exists already, the limit is a new folder; take another name") from None
    except OSError as error:
        raise RecipeError(
            f"--models: {folder} cannot be made ({error.strerror}); name a folder you may write"
        ) from error
    for file in FILES:
        (folder / file).write_text((TEMPLATES / file).read_text().replace("name: NAME", f"name: {name}"))
    return folder / "recipe.yaml"
