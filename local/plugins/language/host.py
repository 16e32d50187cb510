"""The language runtime service: runs programs, runs plugins, installs and lists packages."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from local.plugins.language import policy, toolchain
from local.plugins.language.process import Children
from local.plugins.serving import Engine

VERSION = "3.259.0"
SHOWN = 32
PROGRAM = Path(__file__).with_name("program.py")
T = TypeVar("T")


def _checked(context: grpc.ServicerContext, work: Callable[[], T]) -> T:
    try:
        return work()
    except (toolchain.ToolchainError, InterruptedError) as error:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        raise  # abort raises; this line tells the type checker so


def arguments_of(request: language_pb2.RunRequest, engine: str) -> list[str]:
    """Return the command line of program.py for a request."""
    named = {
        "monitor": request.monitor_address,
        "engine": engine,
        "project": request.project,
        "root_directory": request.info.root_directory,
        "stack": request.stack,
        "pwd": request.pwd,
        "dry_run": "true" if request.dryRun else "false",
        "parallel": str(request.parallel),
        "organization": request.organization,
    }
    options = [part for key, value in named.items() if value for part in (f"--{key}", value)]
    return [str(PROGRAM), *options, request.info.entry_point or ".", *request.args]


def result_of(status: int) -> language_pb2.RunResponse:
    """Translate a program's exit status as the official host does."""
    if status == 0:
        return language_pb2.RunResponse()
    if status == SHOWN:
        return language_pb2.RunResponse(bail=True)
    if status < 0:
        return language_pb2.RunResponse(error=f"program exited unexpectedly: signal {-status}")
    return language_pb2.RunResponse(error=f"program exited with non-zero exit code: {status}")


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Python programs and plugins for the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.children = Children()

    def Handshake(  # noqa: N802, D102
        self, request: language_pb2.LanguageHandshakeRequest, _context: grpc.ServicerContext
    ) -> language_pb2.LanguageHandshakeResponse:
        if request.engine_address:
            self._engine.connect(request.engine_address)
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(  # noqa: N802, D102
        self, _request: empty_pb2.Empty, _context: grpc.ServicerContext
    ) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetRequiredPackages(  # noqa: N802, D102
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        def work() -> language_pb2.GetRequiredPackagesResponse:
            self._ensure_environment(request.info)
            packages = toolchain.resolve(request.info).packages("pulumi")
            found = [dependency for package in packages if (dependency := toolchain.dependency_of(package))]
            # The official host names every installed package, and the engine downloads the missing plugins before the
            # program runs. Where only package registries are reachable that download fails even for a plugin that no
            # resource uses, so those that are not here are left to the engine's own lazy look-up.
            present = [dependency for dependency in found if toolchain.is_present(dependency.name, os.environ)]
            return language_pb2.GetRequiredPackagesResponse(packages=present)

        return _checked(context, work)

    def Run(  # noqa: N802, D102
        self, request: language_pb2.RunRequest, context: grpc.ServicerContext
    ) -> language_pb2.RunResponse:
        def work() -> language_pb2.RunResponse:
            interpreter = toolchain.resolve(request.info)
            environment = {
                **interpreter.environment,
                "PULUMI_CONFIG": json.dumps(dict(request.config)),
                "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
            }
            command = [interpreter.path, "-u", *arguments_of(request, self._engine.address)]
            process = self.children.start(command, environment, None, capture=False)
            context.add_callback(lambda: self.children.stop(process) if process.poll() is None else None)
            return result_of(self.children.wait(process))

        return _checked(context, work)

    def RunPlugin(  # noqa: N802, D102
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        is_policy = request.kind == "analyzer"
        interpreter = _checked(context, lambda: toolchain.resolve(request.info, plugin=not is_policy))
        environment = {**interpreter.environment, **dict(pair.split("=", 1) for pair in request.env if "=" in pair)}
        folder = request.info.program_directory
        if is_policy:
            command = [interpreter.path, "-u", "-m", "pulumi.policy", *request.args, folder]
            yield from policy.run(self.children, command, environment, context, plugin_output)
            return
        command = [interpreter.path, "-u", folder, *request.args]
        process = _checked(context, lambda: self.children.start(command, environment, request.pwd, capture=True))
        context.add_callback(lambda: self.children.stop(process) if process.poll() is None else None)
        yield from plugin_output(process)
        yield language_pb2.RunPluginResponse(exitcode=self.children.wait(process))

    def InstallDependencies(  # noqa: N802, D102
        self, request: language_pb2.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.InstallDependenciesResponse]:
        folder = Path(request.info.program_directory)
        virtualenv = _checked(context, lambda: toolchain.virtualenv_of(request.info, plugin=request.is_plugin))
        yield language_pb2.InstallDependenciesResponse(stdout=b"Installing dependencies...\n\n")
        for command in install_commands(folder, virtualenv):
            process = self.children.start(command, dict(os.environ), str(folder), capture=True)
            yield from stream(process, language_pb2.InstallDependenciesResponse)
            if status := self.children.wait(process):
                context.abort(grpc.StatusCode.UNKNOWN, f"{' '.join(command)} failed with exit code {status}")
        yield language_pb2.InstallDependenciesResponse(stdout=b"Finished installing dependencies\n\n")

    def About(  # noqa: N802, D102
        self, request: language_pb2.AboutRequest, context: grpc.ServicerContext
    ) -> language_pb2.AboutResponse:
        def work() -> language_pb2.AboutResponse:
            interpreter = toolchain.resolve(request.info)
            script = "import platform, sys; print(sys.executable); print(platform.python_version())"
            executable, version = interpreter.run("-c", script).split("\n")[:2]
            return language_pb2.AboutResponse(
                executable=executable, version=version, metadata={"toolchain": "Pip", "host": "stand-in"}
            )

        return _checked(context, work)

    def GetProgramDependencies(  # noqa: N802, D102
        self, request: language_pb2.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetProgramDependenciesResponse:
        packages = _checked(context, lambda: toolchain.resolve(request.info).packages())
        shown = [package for package in packages if request.transitiveDependencies or not package.required]
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[language_pb2.DependencyInfo(name=package.name, version=package.version) for package in shown]
        )

    def RuntimeOptionsPrompts(  # noqa: N802, D102
        self, _request: language_pb2.RuntimeOptionsRequest, _context: grpc.ServicerContext
    ) -> language_pb2.RuntimeOptionsResponse:
        return language_pb2.RuntimeOptionsResponse()

    def Cancel(self, _request: empty_pb2.Empty, _context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802, D102
        threading.Thread(target=self.children.stop_all, daemon=True).start()
        return empty_pb2.Empty()

    def _ensure_environment(self, info: language_pb2.ProgramInfo) -> None:
        virtualenv = toolchain.virtualenv_of(info)
        if virtualenv is None or (virtualenv / "bin" / "python").is_file():
            return
        if virtualenv.exists() and any(virtualenv.iterdir()):
            return  # resolve() says that it is none
        folder = Path(info.program_directory)
        for command in install_commands(folder, virtualenv):
            self._engine.info(" ".join(command), ephemeral=True)
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise toolchain.ToolchainError(
                    f"{' '.join(command)} failed with exit code {done.returncode}: {done.stderr}"
                )


def install_commands(folder: Path, virtualenv: Path | None) -> list[list[str]]:
    """Return the commands that make the environment and install the program's requirements."""
    python = toolchain.from_path(os.environ)
    commands = []
    if virtualenv is not None:
        commands.append([python, "-m", "venv", str(virtualenv)])
        python = str(virtualenv / "bin" / "python")
    requirements = folder / "requirements.txt"
    if requirements.is_file():
        commands.append([python, "-m", "pip", "install", "-r", str(requirements)])
    elif (folder / "pyproject.toml").is_file():
        commands.append([python, "-m", "pip", "install", str(folder)])
    return commands


def plugin_output(process: subprocess.Popen[bytes]) -> Iterator[language_pb2.RunPluginResponse]:
    """Yield a plugin's output as it comes."""
    yield from stream(process, language_pb2.RunPluginResponse)


def stream(process: subprocess.Popen[bytes], response: Callable[..., Any]) -> Iterator[Any]:
    """Yield a program's output as it comes, until both streams end."""
    chunks: queue.Queue[tuple[str, bytes]] = queue.Queue()

    def copy(name: str, source: Any) -> None:
        while chunk := source.read1(65536):
            chunks.put((name, chunk))
        chunks.put((name, b""))

    for name, source in (("stdout", process.stdout), ("stderr", process.stderr)):
        threading.Thread(target=copy, args=(name, source), daemon=True).start()
    open_streams = 2
    while open_streams:
        name, chunk = chunks.get()
        if chunk:
            yield response(**{name: chunk})
        else:
            open_streams -= 1
