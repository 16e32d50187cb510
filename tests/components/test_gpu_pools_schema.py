"""Karpenter's objects of a stack against the definitions that Karpenter's release publishes.

The definitions come from its Go module, by hash. Their rules in CEL only an API server evaluates
(tests/provider/test_gpu_pools_admission.py). Of EKS Auto Mode no definition of NodeClass is published.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from components.aws.karpenter import VERSION
from tests.components.gpus import Stacks, kinds
from tests.components.programs import Object, Run

MODULE = f"github.com/aws/karpenter-provider-aws@v{VERSION}"
SUM = "h1:WGtIQTQcxpElYMdWfWuPwaF2+9muR+hYhPZsTtoY8Gs="
FILES = {
    "EC2NodeClass": "karpenter.k8s.aws_ec2nodeclasses.yaml",
    "NodePool": "karpenter.sh_nodepools.yaml",
    "NodeOverlay": "karpenter.sh_nodeoverlays.yaml",
}
pytestmark = pytest.mark.skipif(
    shutil.which("go") is None, reason="Go, which fetches Karpenter's module, is not on PATH"
)


def folder_of_definitions(folder: Path) -> Path:
    """Return where Karpenter's definitions lie, fetched from the Go module proxy where they are not there."""
    command = ["go", "mod", "download", "-json", MODULE]
    told = json.loads(subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout)
    assert told["Sum"] == SUM
    return Path(told["Dir"]) / "pkg/apis/crds"


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Object]:
    """Kind → its schema, which refuses what it does not name."""
    folder = folder_of_definitions(tmp_path_factory.mktemp("go"))
    found = {}
    for kind, name in FILES.items():
        spec = yaml.safe_load((folder / name).read_text())["spec"]
        (version,) = spec["versions"]
        found[kind] = closed(version["schema"]["openAPIV3Schema"])
    return found


def closed(schema: Any) -> Any:
    """Return a schema that lets no unknown key pass, as an API server with strict validation."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(one) for key, one in schema.items()}
    # `metadata` is the API server's own to check.
    open_ = found.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in found
    if isinstance(found.get("properties"), dict) and not open_:
        found["additionalProperties"] = False
    return found


def as_aws_names(inputs: Object) -> Object:
    """Return an object with ids as AWS makes them, in place of the mocks'."""
    ids = re.sub(r"Subnet/network-private-([a-c])", r"subnet-0123456789abcdef\1", json.dumps(inputs))
    found: Object = json.loads(ids)
    return {**found, "metadata": {}}


def faults(schema: Object, inputs: Object) -> list[str]:
    found = Draft202012Validator(schema).iter_errors(as_aws_names(inputs))
    return [f"{one.json_path}: {one.message}" for one in found]


@pytest.mark.parametrize("kind", FILES)
def test_every_object_is_as_karpenter_defines_it(
    pools: Run, others: Stacks, definitions: dict[str, Object], kind: str
) -> None:
    made = [*kinds(pools, kind).values(), *kinds(others["karpenter"], kind).values()]
    assert made
    assert [fault for one in made for fault in faults(definitions[kind], one)] == []


@pytest.mark.parametrize(
    ("kind", "change", "fault"),
    [
        ("NodePool", {"limit": {}}, "'limit' was unexpected"),
        ("NodePool", {"disruption": {"consolidateAfter": "soon"}}, "'soon' does not match"),
        ("EC2NodeClass", {"instanceStorePolicy": "RAID1"}, "'RAID1' is not one of"),
        ("EC2NodeClass", {"capacityReservationSelectorTerms": [{"id": "reserved"}]}, "'reserved' does not match"),
        ("NodeOverlay", {"capacity": {"nvidia.com/gpu.shared": "many"}}, "'many' does not match"),
    ],
)
def test_a_wrong_object_is_found(
    pools: Run, definitions: dict[str, Object], kind: str, change: Object, fault: str
) -> None:
    one = deepcopy(next(iter(kinds(pools, kind).values())))
    found = faults(definitions[kind], {**one, "spec": {**one["spec"], **change}})
    assert any(fault in message for message in found), found
