import json
from pathlib import Path

import pytest
import yaml

from local.plugins import state

BACKEND = {"PULUMI_BACKEND_URL": "file:///nowhere"}
SALT = "v1:abc:def"


def project(folder: Path, configuration: str) -> tuple[Path, dict[str, str]]:
    checkout, backend = folder / "checkout", folder / "state"
    checkout.mkdir()
    (checkout / "Pulumi.yaml").write_text("{name: p, runtime: python}")
    (checkout / "Pulumi.dev.yaml").write_text(configuration)
    stacks = backend / ".pulumi" / "stacks" / "p"
    stacks.mkdir(parents=True)
    latest = {"secrets_providers": {"type": "passphrase", "state": {"salt": SALT}}}
    (stacks / "dev.json").write_text(json.dumps({"version": 3, "checkpoint": {"latest": latest}}))
    return checkout, {"PULUMI_BACKEND_URL": f"file://{backend}"}


def test_a_stacks_command_gets_the_configuration_joined_with_the_salt(tmp_path: Path) -> None:
    checkout, environment = project(tmp_path, "config: {p:a: '1'}\n")
    given = ["-C", str(checkout), "up", "-s", "dev", "--yes"]
    found = state.arguments_for("/no/engine", given, environment)
    assert found[:4] == [*given[:3], "--config-file"]
    assert found[5:] == given[3:]
    assert yaml.safe_load(Path(found[4]).read_text()) == {"config": {"p:a": "1"}, "encryptionsalt": SALT}
    assert (checkout / "Pulumi.dev.yaml").read_text() == "config: {p:a: '1'}\n"


def test_a_file_with_an_encryption_of_its_own_is_left_to_the_engine(tmp_path: Path) -> None:
    checkout, environment = project(tmp_path, "encryptionsalt: v1:theirs\n")
    given = ["up", "--stack=dev", "--cwd", str(checkout)]
    assert state.arguments_for("/no/engine", given, environment) == given


def test_other_commands_pass_through_untouched(tmp_path: Path) -> None:
    checkout, environment = project(tmp_path, "")
    for given in (["version"], ["stack", "ls"], ["config", "set", "a", "b"], ["up", "--help"], []):
        assert state.arguments_for("/no/engine", [*given, "--cwd", str(checkout)], environment)[:-2] == given


def test_a_configuration_file_of_the_users_own_goes_first() -> None:
    assert state.parse(["up", "-s", "dev", "--config-file", "x"], {}) is None
    assert state.parse(["up", "-s", "dev"], {"PULUMI_OPTION_CONFIG_FILE": "x"}) is None


def test_another_backend_is_left_alone(tmp_path: Path) -> None:
    checkout, _ = project(tmp_path, "")
    given = ["up", "-s", "dev", "--cwd", str(checkout)]
    assert state.arguments_for("/no/engine", given, {"PULUMI_BACKEND_URL": "https://api.example.invalid"}) == given


def test_the_stacks_own_name_is_taken_from_a_qualified_one() -> None:
    call = state.parse(["preview", "--stack", "organization/p/dev"], BACKEND)
    assert call is not None
    assert call.stack == "dev"


def test_the_engine_is_the_next_pulumi_on_the_path(tmp_path: Path) -> None:
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pulumi").touch(mode=0o755)
    path = {"PATH": f"{tmp_path / 'own'}:{tmp_path / 'other'}"}
    assert state.next_engine(tmp_path / "own", path) == str(tmp_path / "other" / "pulumi")


@pytest.mark.parametrize("manner", [[], ["--non-interactive", "--color", "never"], ["--color=never"]])
def test_a_new_stacks_salt_stays_out_of_the_checkout(tmp_path: Path, manner: list[str]) -> None:
    checkout, environment = project(tmp_path, "config: {}\n")
    engine = tmp_path / "pulumi"
    engine.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\n')
    engine.chmod(0o755)
    found = state.arguments_for(str(engine), ["stack", "init", "dev", "-C", str(checkout), *manner], environment)
    assert found == ["stack", "select", "dev", "--cwd", str(checkout)]
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("stack init dev ")
    assert str(checkout) not in asked


def test_a_new_stack_with_options_of_its_own_is_left_to_the_engine(tmp_path: Path) -> None:
    checkout, environment = project(tmp_path, "")
    given = ["stack", "init", "dev", "--secrets-provider=plain", "--cwd", str(checkout)]
    assert state.arguments_for("/no/engine", given, environment) == given
