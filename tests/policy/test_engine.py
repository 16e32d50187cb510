"""The pack judging previews and updates of the real engine, with a provider that takes whatever it is given."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from benchmarks.scale import provider
from tests.policy.judging import CLOSED, Given, deployment
from tests.provider.stacks import ROOT, Done, Project, Stack

pytestmark = pytest.mark.e2e

PROGRAM = """
import json
import pulumi

for type_, name, properties, protect in json.load(open("resources.json")):
    pulumi.CustomResource(type_, name, properties, pulumi.ResourceOptions(protect=protect))
"""
TAGGED = deployment("legacy").having("spec.template.spec.containers.0.image", "nginx:1.29")
NODES = Given("aws:eks/nodeGroup:NodeGroup", {"capacityType": "ON_DEMAND"}, "nodes")
CLAIM = Given("kubernetes:core/v1:PersistentVolumeClaim", {"metadata": {"namespace": "models"}}, "data")
Making = Callable[..., Stack]


@pytest.fixture
def stack_with(tmp_path: Path) -> Making:
    project = Project.make(tmp_path / "project", PROGRAM)
    anything = tmp_path / "anything"
    provider.write(anything, "anything", "99.0.0", previews=True)
    runtime = {"name": "python", "options": {"virtualenv": f"{ROOT}/.venv"}}
    providers = [{"name": name, "path": str(anything)} for name in ("kubernetes", "aws")]
    document = {"name": "tiny", "runtime": runtime, "plugins": {"providers": providers}}
    (project.folder / "Pulumi.yaml").write_text(yaml.safe_dump(document))

    def make(name: str, *given: Given, **policies: object) -> Stack:
        rows = [(one.type, one.name, one.properties, one.protect) for one in given]
        (project.folder / "resources.json").write_text(json.dumps(rows))
        made = project.stack(name, PULUMI_PYTHON_CMD=f"{ROOT}/.venv/bin/python")
        path = project.folder / f"Pulumi.{name}.yaml"
        kept = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({**kept, "config": {"modelstack:policies": policies}}))
        return made

    return make


def judged(stack: Stack, command: str = "preview") -> Done:
    return stack.run(command, "--policy-pack", str(ROOT / "policy"))


def told(done: Done) -> dict[str, tuple[str, str]]:
    """Policy → level, and the message without the policy's own words."""
    events = (event["policyEvent"] for event in done.events if "policyEvent" in event)
    return {one["policyName"]: (one["enforcementLevel"], one["message"].splitlines()[-1]) for one in events}


def test_what_is_mandatory_fails_the_preview_with_resource_property_value_and_remedy(stack_with: Making) -> None:
    done = judged(stack_with("dev", TAGGED, CLOSED))
    assert done.code != 0
    level, message = told(done)["image-by-digest"]
    assert level == "mandatory"
    assert message.startswith(
        "kubernetes:apps/v1:Deployment legacy: spec.template.spec.containers[0].image: 'nginx:1.29' is no digest; name"
    )
    assert message in done.said


def test_what_is_advisory_is_told_and_no_more(stack_with: Making) -> None:
    done = judged(stack_with("dev", NODES))
    assert done.code == 0, done.said
    assert told(done)["spot-outside-prod"][0] == "advisory"
    assert "capacityType: 'ON_DEMAND'; set SPOT" in done.said


def test_an_up_makes_nothing_of_what_is_refused(stack_with: Making) -> None:
    stack = stack_with("dev", TAGGED)
    assert judged(stack, "up").code != 0
    assert all("Deployment" not in urn for urn, _ in stack.recorded())


def test_prod_by_its_name_asks_for_protection_and_sees_it(stack_with: Making) -> None:
    refused = judged(stack_with("eu-prod", CLAIM))
    assert refused.code != 0
    assert told(refused)["protect-stateful"][1].endswith(
        "data: options.protect: is not set; set ResourceOptions("
        "protect=True); `pulumi state unprotect` is asked before it can go"
    )
    let = judged(stack_with("us-prod", Given(CLAIM.type, CLAIM.properties, CLAIM.name, protect=True)))
    assert (let.code, told(let)) == (0, {})


def test_an_exception_lets_the_preview_pass_and_one_too_many_is_told(stack_with: Making) -> None:
    needed = {"policy": "image-by-digest", "resource": "legacy", "reason": "goes with the move in March"}
    idle = {"policy": "probes", "resource": "*", "reason": "was for a server that went"}
    done = judged(stack_with("dev", TAGGED, CLOSED, exceptions=[needed, idle]))
    assert done.code == 0, done.said
    (level, message) = told(done)["exceptions"]
    assert level == "advisory"
    assert "exceptions[1].resource: '*' lets nothing of probes pass" in message
