"""What becomes of operations that a killed engine left begun."""

from __future__ import annotations

from typing import Any

import pytest

from ops.pending import decide, identify, may_exist, settled, terminating
from provider.naming import stack_tag

IMAGE = "urn:pulumi:dev::tiny::modelstack:index:ModelImage::digits"
DEPLOYMENT = "urn:pulumi:dev::tiny::kubernetes:apps/v1:Deployment::server"


def image() -> dict[str, Any]:
    inputs = {"push": "127.0.0.1:7401", "repository": "modelstack/digits"}
    return {"urn": IMAGE, "type": "modelstack:index:ModelImage", "custom": True, "inputs": inputs}


def deployment(**metadata: str) -> dict[str, Any]:
    inputs = {"metadata": {"name": "server-0a1b2c3d", "namespace": "models", **metadata}}
    return {"urn": DEPLOYMENT, "type": "kubernetes:apps/v1:Deployment", "custom": True, "inputs": inputs}


def state(operation: str, resource: dict[str, Any], *known: dict[str, Any]) -> dict[str, Any]:
    begun = [{"type": operation, "resource": resource}]
    return {"deployment": {"resources": list(known), "pending_operations": begun}}


def after(before: dict[str, Any]) -> list[dict[str, Any]]:
    done = settled(before, decide(before))
    assert done["deployment"]["pending_operations"] == []
    found: list[dict[str, Any]] = done["deployment"]["resources"]
    return found


def test_an_image_is_known_by_its_stacks_tag() -> None:
    assert identify(image()) == f"127.0.0.1:7401/modelstack/digits:{stack_tag(IMAGE)}"


def test_an_object_is_known_by_namespace_and_name() -> None:
    assert identify(deployment()) == "models/server-0a1b2c3d"


def test_what_only_its_provider_could_name_is_not_guessed() -> None:
    assert identify({"urn": "urn:x", "type": "aws:s3/bucket:Bucket", "inputs": {"bucket": "b"}}) is None


@pytest.mark.parametrize("resource", [image(), deployment()])
def test_a_begun_creation_becomes_a_record_for_refresh_to_look_at(resource: dict[str, Any]) -> None:
    (found,) = after(state("creating", resource))
    assert found["id"] == identify(resource)
    assert found["inputs"] == resource["inputs"]
    assert not found["delete"]


def test_a_creation_that_is_recorded_already_is_not_recorded_twice() -> None:
    known = deployment() | {"id": "models/server-0a1b2c3d"}
    assert after(state("creating", deployment(), known)) == [known]


def test_a_begun_replacement_beside_its_successor_is_to_be_deleted() -> None:
    successor = deployment(name="server-ffffffff") | {"id": "models/server-ffffffff"}
    found = after(state("creating", deployment(), successor))
    assert [one.get("delete", False) for one in found] == [False, True]


@pytest.mark.parametrize("operation", ["updating", "deleting", "reading"])
def test_any_other_operation_leaves_the_record_as_it_is(operation: str) -> None:
    known = deployment() | {"id": "models/server-0a1b2c3d"}
    assert after(state(operation, deployment(), known)) == [known]


def test_a_creation_that_cannot_be_named_is_dropped_and_told() -> None:
    component = {"urn": "urn:pulumi:dev::tiny::a:b:C::x", "type": "a:b:C", "custom": False}
    before = state("creating", component)
    assert after(before) == []
    assert str(decide(before)[0]) == "a:b:C x: interrupted while creating; nothing outside the state belongs to it"
    assert may_exist(before) == []


def test_a_creation_that_only_its_provider_knows_of_may_exist_and_is_never_called_nothing() -> None:
    urn = "urn:pulumi:prod::shop::aws:ec2/natGateway:NatGateway::way"
    begun = {"urn": urn, "type": "aws:ec2/natGateway:NatGateway", "custom": True, "inputs": {"subnetId": "subnet-1"}}
    before = state("creating", begun)
    assert after(before) == []
    assert "may exist, as only its provider can say" in str(decide(before)[0])
    assert may_exist(before) == [urn]


def test_a_cluster_of_aws_is_looked_for_by_its_name() -> None:
    urn = "urn:pulumi:prod::shop::aws:eks/cluster:Cluster::eks"
    begun = {"urn": urn, "type": "aws:eks/cluster:Cluster", "custom": True, "inputs": {"name": "shop"}}
    before = state("creating", begun)
    assert [one["id"] for one in after(before)] == ["shop"]
    assert may_exist(before) == []


def test_objects_on_their_way_out_are_found() -> None:
    leaving = deployment() | {"outputs": {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}}
    staying = deployment() | {"outputs": {"metadata": {}}}
    assert terminating(state("reading", deployment(), leaving, staying)) == [DEPLOYMENT]
