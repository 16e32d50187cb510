"""The inputs of a stack with pools of GPUs, as pulumi-aws declares them, and as AWS' own SDK and moto take them.

What moto does not emulate is listed in NOT_EMULATED, and nothing else is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from pulumi import _types as sdk

from tests.components.gpus import Stacks
from tests.components.programs import Made, Object, Run
from tests.components.test_aws import REGION
from tests.components.test_aws_contract import NOT_EMULATED as NOT_OF_THE_GROUND
from tests.components.test_aws_contract import Account, emulation
from tests.components.test_aws_types import _of_mapping, declared

NOT_EMULATED = {*NOT_OF_THE_GROUND, "aws:eks/podIdentityAssociation:PodIdentityAssociation"}
AUTO_MODE = {"computeConfig", "kubernetesNetworkConfig", "storageConfig"}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class GpuAccount(Account):
    """An account of moto's that also knows what pools need."""

    def __init__(self) -> None:
        super().__init__()
        clients = ("sqs", "events", "autoscaling")
        self.sqs, self.events, self.autoscaling = (boto3.client(one, region_name=REGION) for one in clients)

    def cluster(self, name: str, given: Object) -> Object:
        found = super().cluster(name, given)
        # moto keeps none of the three: the SDK says whether AWS knows them.
        shape = self.eks.meta.service_model.shape_for("CreateClusterRequest").members
        for key in given.keys() & AUTO_MODE:
            _check(shape[key], given[key])
        return found

    def launch_template(self, name: str, given: Object) -> Object:
        found = super().launch_template(name, given)
        more = {key[0].upper() + key[1:]: _capitals(given[key]) for key in ("userData",) if key in given}
        if more:
            self.ec2.create_launch_template_version(
                LaunchTemplateId=found["id"], SourceVersion="1", LaunchTemplateData=more
            )
        return found

    def node_group(self, name: str, given: Object) -> None:
        if "capacityType" not in given:
            super().node_group(name, given)
            return
        kinds = self.eks.meta.service_model.shape_for("AMITypes").enum
        assert given["amiType"] in kinds
        keys = (
            "clusterName",
            "version",
            "scalingConfig",
            "instanceTypes",
            "amiType",
            "capacityType",
            "releaseVersion",
            "labels",
        )
        self.eks.create_nodegroup(
            nodegroupName=name,
            subnets=given["subnetIds"],
            nodeRole=given["nodeRoleArn"],
            taints=given["taints"],
            launchTemplate=given["launchTemplate"],
            updateConfig=given["updateConfig"],
            nodeRepairConfig=given["nodeRepairConfig"],
            **{key: given[key] for key in keys},
        )
        # EKS makes a group of autoscaling, moto's EKS does not.
        self.autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=f"eks-{name}",
            MinSize=given["scalingConfig"]["minSize"],
            MaxSize=given["scalingConfig"]["maxSize"],
            LaunchTemplate={"LaunchTemplateId": given["launchTemplate"]["id"], "Version": "1"},
            VPCZoneIdentifier=",".join(given["subnetIds"]),
        )

    def tag(self, _: str, given: Object) -> None:
        of_group = {"ResourceId": given["autoscalingGroupName"], "ResourceType": "auto-scaling-group"}
        told = given["tag"]
        one = {"Key": told["key"], "Value": told["value"], "PropagateAtLaunch": told["propagateAtLaunch"]}
        self.autoscaling.create_or_update_tags(Tags=[{**of_group, **one}])

    def instance_profile(self, name: str, given: Object) -> Object:
        made = self.iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]
        self.iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=given["role"])
        return {"id": name, "arn": made["Arn"]}

    def queue(self, name: str, given: Object) -> Object:
        attributes = {
            "MessageRetentionPeriod": str(given["messageRetentionSeconds"]),
            "SqsManagedSseEnabled": str(given["sqsManagedSseEnabled"]).lower(),
        }
        made = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        told = self.sqs.get_queue_attributes(QueueUrl=made, AttributeNames=["QueueArn"])["Attributes"]
        return {"id": made, "arn": told["QueueArn"]}

    def queue_policy(self, _: str, given: Object) -> None:
        self.sqs.set_queue_attributes(QueueUrl=given["queueUrl"], Attributes={"Policy": given["policy"]})

    def event_rule(self, name: str, given: Object) -> Object:
        made = self.events.put_rule(Name=name, EventPattern=given["eventPattern"], Description=given["description"])
        return {"id": name, "arn": made["RuleArn"]}

    def event_target(self, name: str, given: Object) -> None:
        done = self.events.put_targets(Rule=given["rule"], Targets=[{"Id": name, "Arn": given["arn"]}])
        assert done["FailedEntryCount"] == 0


def _capitals(value: Any) -> Any:
    if isinstance(value, dict):
        return {key[0].upper() + key[1:]: _capitals(one) for key, one in value.items()}
    return value


def _check(shape: Any, value: Any) -> None:
    """Refuse a key that AWS does not know, and what is no mapping where it takes one."""
    if shape.type_name != "structure":
        return
    assert isinstance(value, dict), value
    assert set(value) <= set(shape.members), f"{sorted(value)} are not all of {sorted(shape.members)}"
    for key, one in value.items():
        _check(shape.members[key], one)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[GpuAccount]:
    with emulation(monkeypatch):
        yield GpuAccount()


def of_aws(run: Run) -> list[Made]:
    return [one for one in run.made if one.type.startswith("aws:")]


def test_every_input_is_of_the_type_that_the_provider_declares(pools: Run, others: Stacks) -> None:
    made = [*of_aws(pools), *of_aws(others["auto"])]
    found = [fault for one in made for fault in _of_mapping(one.name, one.inputs, sdk.input_type_types(declared(one)))]
    assert found == []
    kinds = {one.type.rpartition(":")[2] for one in made}
    assert {"Queue", "QueuePolicy", "EventRule", "EventTarget", "InstanceProfile", "Tag"} <= kinds


def test_every_input_is_taken_as_aws_takes_it(pools: Run, account: GpuAccount) -> None:
    for one in of_aws(pools):
        if one.type not in NOT_EMULATED:
            account.make(one)
    groups = account.eks.list_nodegroups(clusterName="modelstack-prod")["nodegroups"]
    assert set(groups) == {"system", "workers", "a10g-spot", "a10g-on-demand", "h100-on-demand"}
    assert len(account.events.list_rules()["Rules"]) == 5
    tags = account.autoscaling.describe_tags()["Tags"]
    assert {one["ResourceId"] for one in tags} == {"eks-a10g-spot", "eks-a10g-on-demand", "eks-h100-on-demand"}


def test_auto_mode_is_said_as_aws_knows_it(others: Stacks, account: GpuAccount) -> None:
    made = of_aws(others["auto"])
    (cluster,) = [one for one in made if one.type == "aws:eks/cluster:Cluster"]
    assert cluster.inputs.keys() >= AUTO_MODE
    for one in made:
        if one.type not in NOT_EMULATED:
            account.make(one)


@pytest.mark.parametrize("wrong", [None, {"enable": True}])
def test_what_aws_does_not_know_of_auto_mode_is_found(account: GpuAccount, wrong: Any) -> None:
    shape = account.eks.meta.service_model.shape_for("CreateClusterRequest").members["computeConfig"]
    with pytest.raises(AssertionError):
        _check(shape, wrong)
