"""One setting of a stack's file is edited, and every other byte stays."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ops.stack_file import SettingError, with_setting, write

KEYS = ("config", "modelstack:models", "digits", "pin")
A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"

FLOW = """\
# what runs in production
config:
  modelstack:models:
    digits: {recipe: models/digits/recipe.yaml, replicas: 2}  # the busy one
    mnist: {recipe: models/mnist/recipe.yaml}
"""
LONG = """\
config:
  modelstack:models: {digits: {recipe: "models/digits/recipe.yaml",
                               replicas: 2},   mnist: {recipe: b}}
"""
BLOCK = """\
config:
    modelstack:models:
        # the busy one
        digits:
            recipe: 'models/digits/recipe.yaml'
            rollout:
                strategy: canary   # slowly
                steps:
                - {weight: 25, seconds: 60}

        # the other one
        mnist:
            recipe: models/mnist/recipe.yaml
    modelstack:namespace: shop
"""
LAST = "config:\n  modelstack:models:\n    digits:\n      recipe: a"
ENCRYPTED = "encryptionsalt: v1:abc=\n" + FLOW
EVERY = pytest.mark.parametrize(
    "text", [FLOW, LONG, BLOCK, LAST, ENCRYPTED], ids=["flow", "long", "block", "last", "salt"]
)


def in_file(folder: Path, text: str) -> Path:
    path = folder / "Pulumi.dev.yaml"
    path.write_bytes(text.encode())
    return path


@EVERY
def test_a_pin_is_added_and_nothing_else_changes(tmp_path: Path, text: str) -> None:
    changed = with_setting(in_file(tmp_path, text), KEYS, A)
    before, after = yaml.safe_load(text), yaml.safe_load(changed)
    assert after["config"]["modelstack:models"]["digits"].pop("pin") == A
    assert after == before
    assert changed.replace(f", pin: {A}", "").replace(f"pin: {A}", "").split() == text.split()


@EVERY
def test_a_pin_that_is_cleared_leaves_the_file_as_it_was(tmp_path: Path, text: str) -> None:
    path = in_file(tmp_path, text)
    write(path, with_setting(path, KEYS, A))
    assert A in path.read_text()
    assert with_setting(path, KEYS, None) == (text if text.endswith("\n") else f"{text}\n")


@EVERY
def test_another_pin_takes_the_place_of_the_first(tmp_path: Path, text: str) -> None:
    path = in_file(tmp_path, text)
    first = with_setting(path, KEYS, A)
    write(path, first)
    assert with_setting(path, KEYS, B) == first.replace(A, B)


def test_a_line_is_added_below_the_models_own(tmp_path: Path) -> None:
    lines = with_setting(in_file(tmp_path, BLOCK), KEYS, A).splitlines()
    assert lines[9] == f"            pin: {A}"
    assert lines[8:12:3] == ["                - {weight: 25, seconds: 60}", "        # the other one"]


def test_a_pin_that_comes_first_is_cleared(tmp_path: Path) -> None:
    text = FLOW.replace("{recipe: models/digits", f"{{pin: {A}, recipe: models/digits")
    assert with_setting(in_file(tmp_path, text), KEYS, None) == FLOW


def test_a_file_with_line_ends_of_windows_keeps_them(tmp_path: Path) -> None:
    changed = with_setting(in_file(tmp_path, BLOCK.replace("\n", "\r\n")), KEYS, A)
    assert changed.count("\n") == changed.count("\r\n") == BLOCK.count("\n") + 1


def test_clearing_what_is_not_there_changes_nothing(tmp_path: Path) -> None:
    assert with_setting(in_file(tmp_path, FLOW), KEYS, None) == FLOW


@pytest.mark.parametrize(
    "text",
    [
        "config: {}\n",
        "config:\n  modelstack:models: {digits: models/digits}\n",
        "environment: [shop/dev]\n",
        "config:\n  modelstack:models:\n    digits: &one {recipe: a}\n    mnist: *one\n",
        "config: [\n",
    ],
    ids=["no models", "no mapping", "an environment of the service", "shared by an anchor", "no YAML"],
)
def test_what_cannot_be_edited_alone_is_told_by_hand(tmp_path: Path, text: str) -> None:
    path = in_file(tmp_path, text)
    with pytest.raises(SettingError, match=rf"^Pulumi\.dev\.yaml: .*write `pin: {A}` into it by hand$"):
        with_setting(path, KEYS, A)
    assert path.read_text() == text
