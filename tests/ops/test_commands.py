"""The table of subcommands: each is there, and only the one that is asked for is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ops.__main__ import COMMANDS, main
from tests.components.programs import PROJECT


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_arguments_and_what_runs_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(getattr(COMMANDS[name].load(), COMMANDS[name].run))
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"python -m ops {name}" in capsys.readouterr().out


def test_help_names_every_command_and_waits_for_no_library() -> None:
    script = "import sys; from ops.__main__ import main\ntry: main(['--help'])\nfinally: print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True)
    told, _, modules = done.stdout.rpartition("[")
    assert [name for name in COMMANDS if f" {name} " not in told] == []
    assert [name for name in ("pulumi", "pydantic", "yaml", "urllib3") if f"'{name}'" in modules] == []


def test_a_command_that_is_none_is_a_wrong_use() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["upp"])
    assert caught.value.code == 2
