"""Programs, plugins and policy packs in Python, run by the real engine through the stand-in language host."""

import sys
from pathlib import Path

import pytest
import yaml

from tests.plugins.conformance.harness import Project

pytestmark = pytest.mark.e2e

PLUGIN = """
import sys
from pulumi.provider.experimental import server
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental import provider as base


class Tiny(base.Provider):
    async def check(self, request):
        return base.CheckResponse(inputs=request.new_inputs)

    async def diff(self, request):
        return base.DiffResponse(changes=request.old_inputs != request.new_inputs)

    async def create(self, request):
        return base.CreateResponse(resource_id="it", properties={**request.properties, "made": PropertyValue("here")})

    async def delete(self, request):
        return None

    async def configure(self, request):
        return base.ConfigureResponse(accept_secrets=True, supports_preview=False)

    async def get_schema(self, request):
        return base.GetSchemaResponse(schema='{"name": "tiny", "version": "1.0.0"}')


server.main(sys.argv[1:], "1.0.0", Tiny())
"""
PACK = """
import json, os
from concurrent.futures import ThreadPoolExecutor
import grpc
from pulumi.runtime.proto import analyzer_pb2 as a, analyzer_pb2_grpc, plugin_pb2

NAMED = {"policyName": "no-stacks", "policyPackName": "tiny", "policyPackVersion": "1.0.0"}


class Pack(analyzer_pb2_grpc.AnalyzerServicer):
    def GetPluginInfo(self, request, context):
        return plugin_pb2.PluginInfo(version="1.0.0")

    def GetAnalyzerInfo(self, request, context):
        policy = a.PolicyInfo(name="no-stacks", description="Refuses a stack", enforcementLevel=a.MANDATORY)
        return a.AnalyzerInfo(name="tiny", displayName="tiny", version="1.0.0", supportsConfig=True, policies=[policy])

    def Configure(self, request, context):
        from google.protobuf import empty_pb2
        return empty_pb2.Empty()

    def Remediate(self, request, context):
        return a.RemediateResponse()

    def AnalyzeStack(self, request, context):
        return a.AnalyzeResponse()

    def Analyze(self, request, context):
        greeting = json.loads(os.environ["PULUMI_CONFIG"])["conformance:greeting"]
        message = f"{os.environ['PULUMI_STACK']} says {greeting}"
        refusal = a.AnalyzeDiagnostic(message=message, enforcementLevel=a.MANDATORY, **NAMED)
        return a.AnalyzeResponse(diagnostics=[refusal])


server = grpc.server(ThreadPoolExecutor(4))
analyzer_pb2_grpc.add_AnalyzerServicer_to_server(Pack(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
"""


def configured(project: Project) -> Project:
    assert project.ask("config", "set", "greeting", "hello", "--stack", "dev").returncode == 0
    assert project.ask("config", "set", "--secret", "token", "hush-hush", "--stack", "dev").returncode == 0
    return project


def python_runtime() -> dict[str, object]:
    return {"name": "python", "options": {"virtualenv": sys.prefix}}


def described(folder: Path, name: str, document: dict[str, object], main: str) -> Path:
    """A folder with a description and a Python program."""
    folder.mkdir()
    (folder / name).write_text(yaml.safe_dump(document))
    (folder / "__main__.py").write_text(main)
    return folder


def test_configuration_reaches_the_program_and_secrets_stay_secret(project: Project) -> None:
    configured(project)
    result = project.up(
        """
        config = pulumi.Config()
        pulumi.export("greeting", config.require("greeting"))
        pulumi.export("token", config.require_secret("token"))
        """
    )
    assert result.ok, result.output
    assert project.outputs() == {"greeting": "hello", "token": "hush-hush"}
    exported = project.ask("stack", "export", "--stack", "dev").stdout
    assert "hello" in exported
    assert "hush-hush" not in exported
    assert "hush-hush" not in result.output


def test_a_program_may_be_previewed_refreshed_and_destroyed(project: Project) -> None:
    project.write('print("in", "preview" if pulumi.runtime.is_dry_run() else "update")\npulumi.export("one", 1)')
    assert "in preview" in project.preview().text
    assert project.outputs() == {}
    assert "in update" in project.up().text
    assert project.refresh().ok
    assert project.outputs() == {"one": 1}
    assert project.destroy().ok
    assert project.outputs() == {}


def test_an_exception_is_shown_from_the_programs_first_line_on(project: Project) -> None:
    result = project.up('def build():\n    raise ValueError("no such model")\n\n\nbuild()\n')
    assert not result.ok
    assert "Program failed with an unhandled exception:" in result.text
    assert "ValueError: no such model" in result.text
    assert "in build" in result.text
    shown = [line for line in result.text.splitlines() if line.lstrip().startswith("File ")]
    assert shown
    assert all("__main__.py" in line for line in shown)


def test_an_error_of_the_user_is_shown_without_a_traceback(project: Project) -> None:
    result = project.up('raise pulumi.RunError("replicas is 0, at least 1 is needed")')
    assert not result.ok
    assert "replicas is 0, at least 1 is needed" in result.text
    assert "Traceback" not in result.text


def test_a_program_that_ends_early_is_reported_with_its_exit_code(project: Project) -> None:
    result = project.up("import os\nos._exit(7)")
    assert not result.ok
    assert "program exited with non-zero exit code: 7" in result.output


def test_an_interrupt_stops_the_program_and_what_it_started(project: Project) -> None:
    ready = project.folder / "ready"
    project.write(
        f"""
        import pathlib, subprocess, time
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        pathlib.Path({str(ready)!r}).touch()
        time.sleep(600)
        """
    )
    code, text = project.interrupted(ready.exists)
    assert code != 0
    assert project.processes() == [], text


def test_a_provider_written_in_python_is_run_for_its_resource(project: Project, tmp_path: Path) -> None:
    plugin = described(tmp_path / "tiny", "PulumiPlugin.yaml", {"runtime": python_runtime()}, PLUGIN)
    path = project.folder / "Pulumi.yaml"
    document = yaml.safe_load(path.read_text())
    providers = {"providers": [{"name": "tiny", "path": str(plugin)}]}
    path.write_text(yaml.safe_dump({**document, "plugins": providers}))
    result = project.up(
        """
        made = pulumi.CustomResource("tiny:index:Thing", "thing", {"given": "x", "made": None})
        pulumi.export("id", made.id)
        """
    )
    assert result.ok, result.output
    assert project.outputs() == {"id": "it"}
    assert project.destroy().ok


def test_a_policy_pack_sees_the_stack_and_can_refuse_it(project: Project, tmp_path: Path) -> None:
    document: dict[str, object] = {"runtime": python_runtime(), "version": "1.0.0"}
    pack = described(tmp_path / "pack", "PulumiPolicy.yaml", document, PACK)
    result = configured(project).run("preview", "--policy-pack", str(pack))
    assert not result.ok
    assert "dev says hello" in result.output
    assert project.processes() == []
