"""Previews without credentials: when a stack needs one, and what of its settings it is made from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ops import scratch
from ops.engine import EngineError
from settings import load_notifications

IN_AWS = "config: {modelstack:aws: {region: eu-central-1}}"


def project(folder: Path, settings: str) -> Path:
    (folder / "Pulumi.prod.yaml").write_text(settings)
    return folder


def test_a_stack_in_aws_without_credentials_in_sight_needs_one(tmp_path: Path) -> None:
    assert scratch.needed(project(tmp_path, IN_AWS), "prod", {"HOME": str(tmp_path)})


@pytest.mark.parametrize("variable", scratch.VARIABLES)
def test_credentials_in_a_variable_are_used(tmp_path: Path, variable: str) -> None:
    environ = {"HOME": str(tmp_path), variable: "something"}
    assert not scratch.needed(project(tmp_path, IN_AWS), "prod", environ)


def test_credentials_in_a_file_are_used(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("[default]")
    assert not scratch.needed(project(tmp_path, IN_AWS), "prod", {"HOME": str(tmp_path)})


def test_a_file_of_credentials_elsewhere_is_used_where_it_exists(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    environ = {"HOME": str(tmp_path), "AWS_SHARED_CREDENTIALS_FILE": str(elsewhere)}
    assert scratch.needed(project(tmp_path, IN_AWS), "prod", environ)
    elsewhere.write_text("[default]")
    assert not scratch.needed(project(tmp_path, IN_AWS), "prod", environ)


def test_a_stack_that_does_not_lie_in_aws_never_needs_one(tmp_path: Path) -> None:
    assert not scratch.needed(project(tmp_path, "config: {modelstack:models: {}}"), "prod", {"HOME": str(tmp_path)})


def test_secrets_and_how_they_are_encrypted_are_left_out_and_told(tmp_path: Path) -> None:
    settings = """
secretsprovider: awskms://alias/prod
encryptedkey: AQICAHhw
config:
  modelstack:models: {digits: {recipe: models/digits/recipe.yaml}}
  shop:password: {secure: AAABAHhw}
  shop:hooks: [{url: {secure: v1:abc}, name: chat}]
"""
    document, hidden = scratch.without_secrets(project(tmp_path, settings), "prod")
    assert document == {
        "config": {
            "modelstack:models": {"digits": {"recipe": "models/digits/recipe.yaml"}},
            "shop:password": scratch.UNKNOWN,
            "shop:hooks": [{"url": scratch.UNKNOWN, "name": "chat"}],
        }
    }
    assert hidden == ("shop:password", "shop:hooks")


def test_settings_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"Pulumi\.prod\.yaml: cannot be read"):
        scratch.without_secrets(project(tmp_path, "config: ["), "prod")


def test_settings_load_with_the_word_that_stands_for_whom_to_notify(tmp_path: Path) -> None:
    settings = "config: {modelstack:notifications: {slack: {secure: v1:abc}, webhook: {secure: v1:def}}}"
    document, _ = scratch.without_secrets(project(tmp_path, settings), "prod")
    found = load_notifications(json.dumps(document["config"]["modelstack:notifications"]), "prod")
    assert found.slack
    assert found.webhook
