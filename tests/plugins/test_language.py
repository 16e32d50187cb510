import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from local.plugins.language import process, toolchain
from tests.waiting import lives, until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[language_pb2_grpc.LanguageRuntimeStub]:
    """The language host as the engine starts it, with a PULUMI_HOME that holds one plugin."""
    (tmp_path / "home" / "plugins" / "resource-kubernetes-v4.34.2").mkdir(parents=True)
    (tmp_path / "home" / "plugins" / "resource-kubernetes-v4.34.2" / "pulumi-resource-kubernetes").touch()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PULUMI_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "local.plugins.language", "127.0.0.1:1"]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, process_group=0)
    assert started.stdout is not None
    with grpc.insecure_channel(f"127.0.0.1:{int(started.stdout.readline())}") as channel:
        yield language_pb2_grpc.LanguageRuntimeStub(channel)
    started.send_signal(signal.SIGINT)
    assert started.wait(10) == 0
    started.stdout.close()


def info(folder: Path, **options: str) -> language_pb2.ProgramInfo:
    packed = struct_pb2.Struct()
    packed.update(options)
    return language_pb2.ProgramInfo(
        root_directory=str(folder), program_directory=str(folder), entry_point=".", options=packed
    )


def test_only_plugins_that_are_here_are_required(host: language_pb2_grpc.LanguageRuntimeStub, tmp_path: Path) -> None:
    request = language_pb2.GetRequiredPackagesRequest(info=info(tmp_path, virtualenv=sys.prefix))
    found = {package.name: package.version for package in host.GetRequiredPackages(request).packages}
    assert found == {"kubernetes": "v4.34.2"}


def test_the_programs_packages_are_listed(host: language_pb2_grpc.LanguageRuntimeStub, tmp_path: Path) -> None:
    request = language_pb2.GetProgramDependenciesRequest(
        info=info(tmp_path, virtualenv=sys.prefix), transitiveDependencies=True
    )
    found = {entry.name: entry.version for entry in host.GetProgramDependencies(request).dependencies}
    assert found["pulumi"] == "3.259.0"
    assert found["pulumi-kubernetes"] == "4.34.2"


def test_about_names_the_interpreter(host: language_pb2_grpc.LanguageRuntimeStub, tmp_path: Path) -> None:
    answer = host.About(language_pb2.AboutRequest(info=info(tmp_path, virtualenv=sys.prefix)))
    assert answer.version == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.parametrize(("status", "error", "bail"), [(0, "", False), (32, "", True), (3, "exit code: 3", False)])
def test_a_programs_exit_status_becomes_the_answer(status: int, error: str, bail: bool) -> None:
    from local.plugins.language.host import result_of  # noqa: PLC0415

    answer = result_of(status)
    assert answer.error.endswith(error)
    assert answer.bail is bail


def test_a_toolchain_the_host_does_not_know_is_refused(
    host: language_pb2_grpc.LanguageRuntimeStub, tmp_path: Path
) -> None:
    with pytest.raises(grpc.RpcError, match="toolchain is 'poetry'"):
        host.GetRequiredPackages(language_pb2.GetRequiredPackagesRequest(info=info(tmp_path, toolchain="poetry")))


def test_a_virtual_environment_that_is_none_is_refused(
    host: language_pb2_grpc.LanguageRuntimeStub, tmp_path: Path
) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "file").touch()
    with pytest.raises(grpc.RpcError, match="is no virtual environment"):
        host.Run(language_pb2.RunRequest(info=info(tmp_path, virtualenv="env")))


def test_a_plugin_streams_its_output_and_exit_code(host: language_pb2_grpc.LanguageRuntimeStub, tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text(
        "import os, sys\nprint(sys.argv[1], os.environ['GIVEN'])\nsys.stderr.write('bad')\nsys.exit(5)\n"
    )
    request = language_pb2.RunPluginRequest(
        info=info(tmp_path, virtualenv=sys.prefix), pwd=str(tmp_path), args=["one"], env=["GIVEN=two"], kind="resource"
    )
    answers = list(host.RunPlugin(request))
    assert b"".join(answer.stdout for answer in answers) == b"one two\n"
    assert b"".join(answer.stderr for answer in answers) == b"bad"
    assert answers[-1].exitcode == 5


def test_cancel_ends_the_program_and_what_it_started(
    host: language_pb2_grpc.LanguageRuntimeStub, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    (tmp_path / "__main__.py").write_text(
        "import json, os, pathlib, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        f"part = pathlib.Path({str(pids)!r} + '.part')\n"
        "part.write_text(json.dumps([os.getpid(), child.pid]))\n"
        f"part.rename({str(pids)!r})\n"
        "time.sleep(600)\n"
    )
    request = language_pb2.RunPluginRequest(
        info=info(tmp_path, virtualenv=sys.prefix), pwd=str(tmp_path), kind="resource"
    )
    stream = host.RunPlugin(request)
    until(pids.exists, "the program has begun")
    host.Cancel(empty_pb2.Empty())
    assert list(stream)[-1].exitcode != 0
    until(lambda: not any(lives(pid) for pid in json.loads(pids.read_text())), "the program has ended")


@pytest.mark.parametrize(
    ("package", "plugin"),
    [
        ("4.34.2", "v4.34.2"),
        ("1.0", "v1.0.0"),
        ("1.2.3a4", "v1.2.3-alpha.4"),
        ("1.2.3rc4.dev5", "v1.2.3-rc.4+dev5"),
        ("1.2.3.post4", "v1.2.3+post4"),
        ("1!2.0", ""),
    ],
)
def test_a_package_version_becomes_a_plugin_version(package: str, plugin: str) -> None:
    assert toolchain.plugin_version(package) == plugin


def test_the_interpreter_named_by_the_environment_is_taken(tmp_path: Path) -> None:
    (tmp_path / "mypython").touch(mode=0o755)
    found = toolchain.from_path({"PATH": str(tmp_path), "PULUMI_PYTHON_CMD": "mypython"})
    assert found == str(tmp_path / "mypython")


def test_no_interpreter_on_the_path_says_what_was_looked_for() -> None:
    with pytest.raises(toolchain.ToolchainError, match="python3"):
        toolchain.from_path({"PATH": "/nonexistent"})


def test_descendants_are_found_through_sessions_of_their_own() -> None:
    script = (
        "import subprocess\n"
        "started = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        "print(started.pid, flush=True)\n"
        "started.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        child = int(started.stdout.readline())
        assert process.descendants(started.pid) == [child]
        os.kill(child, signal.SIGKILL)
