"""`new`: the folder of a model that trains, passes its own gates, and waits to be replaced by a real one."""

import re
from pathlib import Path

from model_build.errors import RecipeError

TEMPLATES = Path(__file__).parent / "templates"
FILES = ("recipe.yaml", "model.py", "data.py")
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def create(name: str, models: Path) -> Path:
    """Write `models/name/` and return its recipe; raises RecipeError for a name or folder that cannot be taken."""
    if not NAME.fullmatch(name):
        raise RecipeError(f"name: {name!r} must match {NAME.pattern}; use lower-case letters, digits and dashes")
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
