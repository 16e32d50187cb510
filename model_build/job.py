"""What a step gets in the worker: its inputs, parameters and an empty folder to write into."""

import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_build.errors import BuildError, RecipeError

THREADS = 2


@dataclass(frozen=True)
class Job:
    """One step's work; `progress` takes a fraction and a detail."""

    inputs: Mapping[str, Path]
    params: Mapping[str, Any]
    out: Path
    model_folder: Path
    progress: Callable[[float, str], None]


def loaded_file(job: Job) -> Path:
    """Return the file that a load step reads, beside the recipe or in a data package; raises RecipeError."""
    file, source = job.params["file"], job.params["source"]
    folder = Path(job.params["folders"][source]) if source else job.model_folder
    path: Path = (folder / file).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.exists():
        raise RecipeError(
            f"steps[0].load.file: {file!r} names nothing inside {source or job.model_folder.name}; correct the name"
        )
    return path


def call_entry(folder: Path, entry: str, key: str, *arguments: object) -> Any:
    """Call `file.py:name` of the model's folder; raises RecipeError where that fails, naming `key`."""
    file, _, name = entry.partition(":")
    function = getattr(_load(folder, file, key, entry), name, None)
    if not callable(function):
        raise RecipeError(f"{folder.name}: {key}: {entry!r} has no callable {name!r}; write it or correct the name")
    try:
        return function(*arguments)
    except BuildError:
        raise
    except Exception as error:
        raise RecipeError(
            f"{folder.name}: {key}: {entry!r} raised {type(error).__name__}: {error}; correct the code"
        ) from error


def _load(folder: Path, file: str, key: str, entry: str) -> object:
    name = f"modelstack_model_{key}"
    spec = importlib.util.spec_from_file_location(name, folder / file)
    if spec is None or spec.loader is None:
        raise RecipeError(f"{folder.name}: {key}: {entry!r} cannot be imported; name a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with importing(folder):
            spec.loader.exec_module(module)
    except Exception as error:
        raise RecipeError(
            f"{folder.name}: {key}: importing {entry!r} raised {type(error).__name__}: {error}; correct the code"
        ) from error
    return module


@contextmanager
def importing(folder: Path) -> Iterator[None]:
    """Let the block import what lies in the model's folder."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    # Bytecode is told from its source by second and size alone: an edit of a model must never meet an older one.
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = False
