"""Where things lie: the checkout, the cache and what is kept below it."""

import os
from pathlib import Path

from model_build.errors import EnvironmentFault

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_CACHE = Path("/var/cache/modelstack")


def cache_root() -> Path:
    """Return the cache folder, made if missing; raises EnvironmentFault where it cannot be written."""
    path = Path(os.environ.get("MODELSTACK_CACHE") or DEFAULT_CACHE).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(
            f"MODELSTACK_CACHE: {path} cannot be made ({error.strerror}); name a folder you may write"
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise EnvironmentFault(f"MODELSTACK_CACHE: {path} cannot be written; name a folder you may write")
    return path
