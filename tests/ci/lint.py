"""`python -m tests.ci.lint`: actionlint and zizmor on .github, and each other service's schema on its file.

Prints what they find, and ends with 1 where they do.
"""

import os
import subprocess
import sys
from pathlib import Path

from local.build import ACTIONLINT
from tests.tools import program

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = {
    "gitlab-ci": ".gitlab-ci.yml",
    "travis": ".travis.yml",
    "renovate": "renovate.json",
    "compose-spec": "docker-compose.yaml",
    "github-actions": ".github/actions/ready/action.yml",
}


def main() -> int:
    """Run all, whatever the first one finds."""
    own = Path(sys.executable).parent
    # actionlint hands the commands of a workflow to the shellcheck it finds.
    environment = os.environ | {"PATH": f"{own}{os.pathsep}{os.environ['PATH']}"}
    commands: list[list[str | Path]] = [
        [program(ACTIONLINT), "-no-color"],
        [own / "zizmor", "--offline", "--quiet", "--no-progress", "--pedantic", ".github"],
    ]
    for name, file in SCHEMAS.items():
        commands.append([own / "check-jsonschema", "--quiet", "--builtin-schema", f"vendor.{name}", file])
    codes = [subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode for command in commands]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
