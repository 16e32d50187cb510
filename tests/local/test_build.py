"""Which Go build is wanted, and a real one of the smallest module."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from local import build
from local.errors import PlatformError
from local.steps import Steps
from tests.conftest import PROJECT
from tests.waiting import lives, until

GO = "go version go1.26.0 linux/amd64"
ON_DEMAND = (build.ROLLOUTS, build.METRICS_SERVER, build.KEDA, build.KSERVE)
TOOLS = (build.ENGINE, build.CRANE, build.CONFORMANCE)
MODULES = (*build.NODE_MODULES, *build.IMAGE_MODULES, *TOOLS, *ON_DEMAND)


@dataclasses.dataclass(frozen=True)
class _Elsewhere(build.Module):
    place: Path = Path()

    @property
    def folder(self) -> Path:
        return self.place


def _module(folder: Path, source: str) -> _Elsewhere:
    folder.mkdir(exist_ok=True)
    (folder / "go.mod").write_text("module example.test/hello\n\ngo 1.26\n")
    (folder / "main.go").write_text(source)
    return _Elsewhere("hello", (".",), place=folder)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_every_module_is_pinned_with_checksums(module: build.Module) -> None:
    assert (module.folder / "go.mod").is_file()
    assert (module.folder / "go.sum").is_file() or not module.requirement
    assert module.version.startswith("v") or not module.requirement


def test_a_module_names_the_go_that_it_needs_where_it_is_not_the_machines() -> None:
    assert build.ROLLOUTS.toolchain.startswith("go1.")
    assert {one.toolchain for one in MODULES if one is not build.ROLLOUTS} == {"local"}


def test_the_go_that_is_asked_for_is_the_newest_that_a_module_built_by_it_needs() -> None:
    local = [(one.folder / "go.mod").read_text() for one in MODULES if one.toolchain == "local"]
    needed = [re.search(r"^go (\d+)\.(\d+)\.(\d+)$", text, re.MULTILINE) for text in local]
    assert max(tuple(map(int, found.groups())) for found in needed if found) == build.GO_MINIMUM


def test_another_source_is_another_build(tmp_path: Path) -> None:
    first = build.fingerprint(_module(tmp_path, "package main\n"), GO)
    assert build.fingerprint(_module(tmp_path, "package main // changed\n"), GO) != first


def test_another_go_is_another_build(tmp_path: Path) -> None:
    module = _module(tmp_path, "package main\n")
    assert build.fingerprint(module, GO) != build.fingerprint(module, GO.replace("1.26.0", "1.26.1"))


def test_other_tags_are_another_build(tmp_path: Path) -> None:
    module = _module(tmp_path, "package main\n")
    assert build.fingerprint(module, GO) != build.fingerprint(dataclasses.replace(module, tags="other"), GO)


def test_the_same_sources_elsewhere_are_the_same_build(tmp_path: Path) -> None:
    one, two = _module(tmp_path / "one", "package main\n"), _module(tmp_path / "two", "package main\n")
    assert build.fingerprint(one, GO) == build.fingerprint(two, GO)


def test_a_module_is_built_once_and_its_build_cache_is_dropped(tmp_path: Path, silent: Steps) -> None:
    go = build.go_version()
    module = _module(tmp_path / "source", 'package main\n\nfunc main() { println("hello") }\n')
    build.build((module,), tmp_path / "cache", go, silent)
    program = build.binaries(module, tmp_path / "cache", go) / "hello"
    assert subprocess.run([program], capture_output=True, text=True, check=True).stderr == "hello\n"
    assert build.missing((module,), tmp_path / "cache", go) == []
    assert not (tmp_path / "cache" / "go-build").exists()


def test_a_build_that_fails_says_what_the_compiler_said_and_leaves_nothing_that_looks_built(
    tmp_path: Path, silent: Steps
) -> None:
    go = build.go_version()
    module = _module(tmp_path / "source", 'package main\n\nimport _ "example.test/nonsense"\n\nfunc main() {}\n')
    with pytest.raises(PlatformError, match=r"^build hello: `go build` failed: .*example\.test/nonsense"):
        build.build((module,), tmp_path / "cache", go, silent)
    assert build.missing((module,), tmp_path / "cache", go) == [module]


def test_a_build_ends_with_the_run_that_was_killed(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "go").write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nexec sleep 600\n")
    (folder / "go").chmod(0o755)
    script = "import sys; from pathlib import Path; from local import build; from local.steps import Steps\n"
    script += "build.build((build.PAUSE,), Path(sys.argv[1]), 'go1', Steps())"
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    command = [sys.executable, "-c", script, str(tmp_path / "cache")]
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stderr=subprocess.DEVNULL) as started:
        until((tmp_path / "pid").exists, "the build has begun")
        until(lambda: bool((tmp_path / "pid").read_text()), "the build has told its process")
        started.kill()
    pid = int((tmp_path / "pid").read_text())
    until(lambda: not lives(pid), "the build has ended")


def test_a_module_is_downloaded_while_the_one_before_it_compiles(
    tmp_path: Path, silent: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, asked = tmp_path / "bin", tmp_path / "asked"
    folder.mkdir()
    # A build that would wait for ever if nothing were downloaded beside it.
    fetch = f'list) echo "$PWD $$" >{asked}.part; mv {asked}.part {asked}; exec sleep 600;;'
    (folder / "go").write_text(
        f"#!/bin/sh\ncase $1 in {fetch} build) until [ -f {asked} ]; do sleep 0.05; done;; esac\n"
    )
    (folder / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    one, two = _module(tmp_path / "one", "package main\n"), _module(tmp_path / "two", "package main // other\n")
    build.build((one, two), tmp_path / "cache", GO, silent)
    place, pid = asked.read_text().split()
    assert place == str(two.folder)
    until(lambda: not lives(int(pid)), "the download has ended")
