"""The Jenkinsfile, by the parser of the Groovy that Jenkins runs pipelines with; its steps are this project's."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GROOVY = ("org.codehaus.groovy", "groovy-all", "2.4.21")
COMMAND = re.compile(r"make [a-z-]+( [A-Z]+=[\w-]+)*|\.venv/bin/python -m ops [\w -]+")


@pytest.fixture(scope="module")
def groovy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The jar, from Maven Central."""
    if not shutil.which("mvn"):
        pytest.skip("mvn is not on PATH; install Maven to check the Jenkinsfile")
    folder = tmp_path_factory.mktemp("groovy")
    command = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={':'.join(GROOVY)}", f"-DoutputDirectory={folder}"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / f"{GROOVY[1]}-{GROOVY[2]}.jar"


def compiled(groovy: Path, text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "Pipeline.groovy").write_text(text)
    command = ["java", "-cp", groovy, "org.codehaus.groovy.tools.FileSystemCompiler", "-d", folder / "out"]
    return subprocess.run(
        [*map(str, command), str(folder / "Pipeline.groovy")], capture_output=True, text=True, check=False
    )


@pytest.mark.soak
def test_it_compiles_and_a_broken_one_does_not(groovy: Path, tmp_path: Path) -> None:
    text = (ROOT / "Jenkinsfile").read_text()
    done = compiled(groovy, text, tmp_path)
    assert done.returncode == 0, done.stderr
    assert compiled(groovy, text.rstrip().removesuffix("}"), tmp_path).returncode != 0


def test_every_step_is_a_command_of_this_project() -> None:
    ran = re.findall(r"sh '([^']*)'", (ROOT / "Jenkinsfile").read_text())
    assert "make revert STACK=prod" in ran
    assert [one for one in ran if not COMMAND.fullmatch(one)] == []
