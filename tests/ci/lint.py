"""`python -m tests.ci.lint`: actionlint and zizmor on .github; prints what they find and ends with 1 where they do."""

import os
import subprocess
import sys
from pathlib import Path

from local.build import ACTIONLINT
from tests.tools import program

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run both, whatever the first one finds."""
    own = Path(sys.executable).parent
    # actionlint hands the commands of a workflow to the shellcheck it finds.
    environment = os.environ | {"PATH": f"{own}{os.pathsep}{os.environ['PATH']}"}
    commands: tuple[list[str | Path], ...] = (
        [program(ACTIONLINT), "-no-color"],
        [own / "zizmor", "--offline", "--quiet", "--no-progress", "--pedantic", ".github"],
    )
    codes = [subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode for command in commands]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
