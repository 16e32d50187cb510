"""The pack as the engine starts it, and as people read of it."""

import re
import subprocess
import sys

from policy.pack import RULES, STACK_RULES, Pack
from tests.components.programs import PROJECT

DOCUMENTED = re.compile(r"^\| `([a-z-]+)` \| (mandatory|advisory)", re.MULTILINE)


def test_an_environment_without_its_library_is_told_what_to_install() -> None:
    script = "import runpy, sys; sys.modules['pulumi_policy'] = None; runpy.run_path('policy', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"policy: {sys.executable} has no pulumi_policy; run `make venv`, or")
    assert len(done.stderr.splitlines()) == 1


def test_every_policy_is_documented_with_its_level() -> None:
    documented = dict(DOCUMENTED.findall((PROJECT / "docs" / "policies.md").read_text()))
    resources, stacks = ({one.name: one.level for one in RULES}, {one.name: one.level for one in STACK_RULES})
    assert documented == {**resources, **stacks, "exceptions": "advisory"}


def test_every_policy_has_a_name_of_its_own() -> None:
    names = [one.name for one in Pack.of({}, "dev").policies()]
    assert len(set(names)) == len(names)
