"""The planner in place of the provider of AWS: it plans, and whatever would touch an account it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from local.plugins.aws.provider import VERSION, AwsPlanner
from local.plugins.install import AWS_VERSION, KUBERNETES_VERSION, LANGUAGE_VERSION
from local.plugins.serving import Engine, start
from local.plugins.values import UNKNOWN, Secret, from_struct, to_struct
from tests.components.programs import PROJECT

URN = "urn:pulumi:prod::shop::aws:ec2/vpc:Vpc::network"
Stub = Any


@pytest.fixture(scope="module")
def planner() -> Iterator[Stub]:
    ports: list[int] = []
    server = start(
        lambda found: provider_pb2_grpc.add_ResourceProviderServicer_to_server(AwsPlanner(Engine()), found),
        announce=ports.append,
    )
    with grpc.insecure_channel(f"127.0.0.1:{ports[0]}") as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)
    server.stop(None).wait()


def refused(call: Any, request: Any) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    found: Any = caught.value
    assert found.code() == grpc.StatusCode.UNIMPLEMENTED
    return str(found.details())


def test_a_preview_plans_what_is_asked_and_knows_no_more(planner: Stub) -> None:
    asked = {"cidrBlock": "10.0.0.0/16", "vpcId": UNKNOWN, "password": Secret("x")}
    answer = planner.Create(provider_pb2.CreateRequest(urn=URN, properties=to_struct(asked), preview=True))
    assert answer.id == ""
    assert from_struct(answer.properties) == asked


def test_nothing_is_created_changed_read_or_removed(planner: Stub) -> None:
    said = [
        refused(planner.Create, provider_pb2.CreateRequest(urn=URN)),
        refused(planner.Update, provider_pb2.UpdateRequest(urn=URN)),
        refused(planner.Read, provider_pb2.ReadRequest(urn=URN)),
        refused(planner.Delete, provider_pb2.DeleteRequest(urn=URN)),
    ]
    remedy = f"(`pulumi plugin install resource aws {VERSION}`) and credentials of the account"
    assert set(said) == {
        f"{URN}: the planner in place of pulumi-aws applies and reads nothing; run with the official provider {remedy}"
    }


def test_a_function_of_aws_is_refused_by_name(planner: Stub) -> None:
    said = refused(planner.Invoke, provider_pb2.InvokeRequest(tok="aws:ec2/getAmi:getAmi"))
    assert said.startswith("aws:ec2/getAmi:getAmi: ")


def test_a_change_shows_by_the_inputs_that_changed(planner: Stub) -> None:
    before, after = {"cidrBlock": "10.0.0.0/16", "tags": {"a": "b"}}, {"cidrBlock": "10.1.0.0/16", "tags": {"a": "b"}}
    asked = provider_pb2.DiffRequest(urn=URN, old_inputs=to_struct(before), news=to_struct(after))
    answer = planner.Diff(asked)
    assert (answer.changes, list(answer.diffs)) == (provider_pb2.DiffResponse.DIFF_SOME, ["cidrBlock"])
    same = provider_pb2.DiffRequest(urn=URN, old_inputs=to_struct(after), news=to_struct(after))
    assert planner.Diff(same).changes == provider_pb2.DiffResponse.DIFF_NONE


def test_a_provider_without_a_region_is_refused(planner: Stub) -> None:
    failures = planner.CheckConfig(provider_pb2.CheckRequest(news=to_struct({}))).failures
    assert [(one.property, one.reason) for one in failures] == [("region", "is missing; name one, no default is taken")]
    assert not planner.CheckConfig(provider_pb2.CheckRequest(news=to_struct({"region": "eu-central-1"}))).failures


def test_stand_ins_are_of_the_versions_that_the_program_asks_for() -> None:
    wanted = (PROJECT / "requirements.in").read_text()
    assert f"pulumi-aws=={AWS_VERSION}" in wanted
    assert AWS_VERSION == VERSION
    assert f"pulumi-kubernetes=={KUBERNETES_VERSION}" in wanted
    assert f"pulumi=={LANGUAGE_VERSION}" in wanted
