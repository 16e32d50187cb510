"""The version of a step's code: a hash over its module and every module of ours that it imports, the server's too."""

import ast
import functools
from collections.abc import Iterator

from model_build.hashing import hash_file, hash_value
from model_build.places import ROOT

PACKAGES = ("model_build", "model_server")


@functools.cache
def code_version(module: str) -> str:
    """Return the hash of `module` and what it imports from these packages, however deep."""
    known: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = ROOT.joinpath(*name.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name in known or not file.is_file():
            continue
        known[name] = hash_file(file)
        waiting += _imported(ast.parse(file.read_bytes()))
    return hash_value(known)


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith(PACKAGES))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGES):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
