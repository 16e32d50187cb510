"""The inputs of a stack in AWS, sent by AWS' own SDK to moto, which answers as AWS does where it knows how.

Where AWS would refuse an input (a network that does not fit, a policy that does not parse, a role that is not there)
so does moto. What moto does not emulate is listed in NOT_EMULATED, and nothing else is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from tests.components.programs import Made, Object, Run, stack_in
from tests.components.test_aws import ACCOUNT, REGION, config

NOT_EMULATED = {
    "aws:eks/addon:Addon",
    "aws:eks/accessEntry:AccessEntry",
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Account:
    """An account of moto's; each method makes one resource of the inputs that the provider would get."""

    def __init__(self) -> None:
        clients = ("ec2", "ecr", "eks", "iam", "kms", "logs")
        self.ec2, self.ecr, self.eks, self.iam, self.kms, self.logs = (
            boto3.client(one, region_name=REGION) for one in clients
        )
        self._known: dict[str, Any] = {}

    def make(self, made: Made) -> None:
        """Make a resource, and remember by which ids others name it."""
        kind = re.sub(r"(?<!^)(?=[A-Z])", "_", made.type.rpartition(":")[2]).lower()
        method = getattr(self, kind)
        found = method(made.name, self._resolved(made.inputs)) or {}
        self._known[_id(made)] = found.get("id", made.name)
        self._known[f"arn:aws:test:::{_id(made)}"] = found.get("arn", "")

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._resolved(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._resolved(one) for one in value]
        if isinstance(value, float):
            return int(value)  # the engine has one kind of number
        if not isinstance(value, str):
            return value
        for mine, theirs in sorted(self._known.items(), key=lambda one: -len(one[0])):
            # Ids stand alone; arns also in policies.
            if value == mine or mine.startswith("arn:"):
                value = value.replace(mine, str(theirs))
        return value

    def vpc(self, _: str, given: Object) -> Object:
        made = self.ec2.create_vpc(CidrBlock=given["cidrBlock"])["Vpc"]["VpcId"]
        self.ec2.modify_vpc_attribute(VpcId=made, EnableDnsHostnames={"Value": given["enableDnsHostnames"]})
        return {"id": made}

    def default_security_group(self, _: str, given: Object) -> None:
        filters = [{"Name": "vpc-id", "Values": [given["vpcId"]]}, {"Name": "group-name", "Values": ["default"]}]
        assert len(self.ec2.describe_security_groups(Filters=filters)["SecurityGroups"]) == 1

    def subnet(self, _: str, given: Object) -> Object:
        place = {"VpcId": given["vpcId"], "AvailabilityZone": given["availabilityZone"]}
        return {"id": self.ec2.create_subnet(CidrBlock=given["cidrBlock"], **place)["Subnet"]["SubnetId"]}

    def internet_gateway(self, _: str, given: Object) -> Object:
        made = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=made, VpcId=given["vpcId"])
        return {"id": made}

    def eip(self, _: str, given: Object) -> Object:
        return {"id": self.ec2.allocate_address(Domain=given["domain"])["AllocationId"]}

    def nat_gateway(self, _: str, given: Object) -> Object:
        made = self.ec2.create_nat_gateway(SubnetId=given["subnetId"], AllocationId=given["allocationId"])
        return {"id": made["NatGateway"]["NatGatewayId"]}

    def route_table(self, _: str, given: Object) -> Object:
        made = self.ec2.create_route_table(VpcId=given["vpcId"])["RouteTable"]["RouteTableId"]
        for route in given["routes"]:
            ways = {"GatewayId": route.get("gatewayId"), "NatGatewayId": route.get("natGatewayId")}
            way = {key: value for key, value in ways.items() if value}
            self.ec2.create_route(RouteTableId=made, DestinationCidrBlock=route["cidrBlock"], **way)
        return {"id": made}

    def route_table_association(self, _: str, given: Object) -> None:
        self.ec2.associate_route_table(RouteTableId=given["routeTableId"], SubnetId=given["subnetId"])

    def security_group(self, name: str, given: Object) -> Object:
        made = self.ec2.create_security_group(GroupName=name, Description=given["description"], VpcId=given["vpcId"])
        rules = [
            {
                "IpProtocol": one["protocol"],
                "FromPort": one["fromPort"],
                "ToPort": one["toPort"],
                "IpRanges": [{"CidrIp": cidr, "Description": one["description"]} for cidr in one["cidrBlocks"]],
            }
            for one in given["ingress"]
        ]
        self.ec2.authorize_security_group_ingress(GroupId=made["GroupId"], IpPermissions=rules)
        return {"id": made["GroupId"]}

    def vpc_endpoint(self, _: str, given: Object) -> Object:
        named = {"VpcEndpointType": given["vpcEndpointType"], "ServiceName": given["serviceName"]}
        lists = {"RouteTableIds": "routeTableIds", "SubnetIds": "subnetIds", "SecurityGroupIds": "securityGroupIds"}
        listed = {theirs: given[ours] for theirs, ours in lists.items() if ours in given}
        made = self.ec2.create_vpc_endpoint(VpcId=given["vpcId"], **named, **listed)
        return {"id": made["VpcEndpoint"]["VpcEndpointId"]}

    def flow_log(self, _: str, given: Object) -> None:
        done = self.ec2.create_flow_logs(
            ResourceType="VPC",
            ResourceIds=[given["vpcId"]],
            TrafficType=given["trafficType"],
            LogDestinationType="cloud-watch-logs",
            LogGroupName=given["logDestination"].rpartition(":")[2],
            DeliverLogsPermissionArn=given["iamRoleArn"],
        )
        assert not done["Unsuccessful"], done["Unsuccessful"]

    def log_group(self, name: str, given: Object) -> Object:
        own = given.get("name") or name
        self.logs.create_log_group(logGroupName=own)
        self.logs.put_retention_policy(logGroupName=own, retentionInDays=given["retentionInDays"])
        return {"arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{own}"}

    def role(self, name: str, given: Object) -> Object:
        made = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=given["assumeRolePolicy"])["Role"]
        return {"id": name, "arn": made["Arn"]}

    def role_policy(self, name: str, given: Object) -> None:
        role = given["role"]
        self.iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=given["policy"])

    def role_policy_attachment(self, _: str, given: Object) -> None:
        # Unknown names are refused: moto has the policies that AWS keeps.
        self.iam.attach_role_policy(RoleName=given["role"], PolicyArn=given["policyArn"])

    def key(self, _: str, given: Object) -> Object:
        made = self.kms.create_key(Description=given["description"])["KeyMetadata"]
        self.kms.enable_key_rotation(KeyId=made["KeyId"])
        return {"id": made["KeyId"], "arn": made["Arn"]}

    def repository(self, _: str, given: Object) -> Object:
        (encryption,) = given["encryptionConfigurations"]
        made = self.ecr.create_repository(
            repositoryName=given["name"],
            imageTagMutability=given["imageTagMutability"],
            imageTagMutabilityExclusionFilters=given["imageTagMutabilityExclusionFilters"],
            imageScanningConfiguration=given["imageScanningConfiguration"],
            encryptionConfiguration={"encryptionType": encryption["encryptionType"], "kmsKey": encryption["kmsKey"]},
        )["repository"]
        return {"id": given["name"], "arn": made["repositoryArn"]}

    def lifecycle_policy(self, _: str, given: Object) -> None:
        self.ecr.put_lifecycle_policy(repositoryName=given["repository"], lifecyclePolicyText=given["policy"])

    def cluster(self, _: str, given: Object) -> Object:
        made = self.eks.create_cluster(
            name=given["name"],
            version=given["version"],
            roleArn=given["roleArn"],
            resourcesVpcConfig=given["vpcConfig"],
            encryptionConfig=[given["encryptionConfig"]],
            logging={"clusterLogging": [{"types": given["enabledClusterLogTypes"], "enabled": True}]},
            accessConfig=given["accessConfig"],
        )["cluster"]
        return {"id": made["name"], "arn": made["arn"]}

    def launch_template(self, name: str, given: Object) -> Object:
        disks = [{"DeviceName": one["deviceName"], "Ebs": _ebs(one["ebs"])} for one in given["blockDeviceMappings"]]
        options = {key[0].upper() + key[1:]: value for key, value in given["metadataOptions"].items()}
        tags = [
            {
                "ResourceType": one["resourceType"],
                "Tags": [{"Key": key, "Value": tag} for key, tag in one["tags"].items()],
            }
            for one in given["tagSpecifications"]
        ]
        data = {"MetadataOptions": options, "BlockDeviceMappings": disks, "TagSpecifications": tags}
        made = self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
        return {"id": made["LaunchTemplate"]["LaunchTemplateId"]}

    def node_group(self, name: str, given: Object) -> None:
        self.eks.create_nodegroup(
            clusterName=given["clusterName"],
            nodegroupName=name,
            scalingConfig=given["scalingConfig"],
            subnets=given["subnetIds"],
            instanceTypes=given["instanceTypes"],
            amiType=given["amiType"],
            nodeRole=given["nodeRoleArn"],
            labels=given["labels"],
            taints=given.get("taints") or [],
            launchTemplate={"id": given["launchTemplate"]["id"], "version": given["launchTemplate"]["version"]},
            updateConfig=given["updateConfig"],
        )


def _ebs(given: Object) -> Object:
    told = {"VolumeSize": given["volumeSize"], "VolumeType": given["volumeType"]}
    return {**told, "Encrypted": given["encrypted"] == "true", "DeleteOnTermination": True}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return stack_in(tmp_path_factory.mktemp("data"), config(), stack="prod")


@contextmanager
def emulation(monkeypatch: pytest.MonkeyPatch, *, policies: bool = True) -> Iterator[None]:
    """Have moto answer in place of AWS; to know the `policies` that AWS keeps takes it seconds."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", str(policies).lower())
    with mock_aws():
        yield


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    with emulation(monkeypatch):
        yield Account()


def emulated(run: Run) -> list[Made]:
    """Return the resources of AWS that moto knows, in the order in which the engine was asked for them.

    It is asked for a resource when the ones that it names are there.
    """
    return [one for one in run.made if one.type.startswith("aws:") and one.type not in NOT_EMULATED]


def _id(made: Made) -> str:
    return f"{made.type.rpartition(':')[2]}/{made.name}"


def test_every_input_is_taken_as_aws_takes_it(run: Run, account: Account) -> None:
    for one in emulated(run):
        account.make(one)
    assert len(account.ec2.describe_nat_gateways()["NatGateways"]) == 3
    cluster = account.eks.describe_cluster(name="modelstack-prod")["cluster"]
    assert cluster["resourcesVpcConfig"]["endpointPrivateAccess"]
    assert len(account.eks.list_nodegroups(clusterName="modelstack-prod")["nodegroups"]) == 2
    assert len(account.ecr.describe_repositories()["repositories"]) == 2


@pytest.mark.parametrize(
    ("kind", "wrong", "refusal"),
    [
        (":Subnet", {"cidrBlock": "192.168.0.0/24"}, "InvalidSubnet.Range"),
        (":RolePolicy", {"policy": '{"Version": "2012"}'}, "MalformedPolicyDocument"),
        (":RolePolicyAttachment", {"policyArn": "arn:aws:iam::aws:policy/NoSuchPolicy"}, "NoSuchEntity"),
        (":LifecyclePolicy", {"policy": f'{{"rules": [{"{}, " * 40}{{}}]}}'}, "InvalidParameterException"),
    ],
)
def test_what_aws_would_refuse_is_refused(run: Run, account: Account, kind: str, wrong: Object, refusal: str) -> None:
    def make_all() -> None:
        for one in emulated(run):
            account.make(replace(one, inputs={**one.inputs, **(wrong if one.type.endswith(kind) else {})}))

    with pytest.raises(ClientError) as caught:
        make_all()
    assert caught.value.response["Error"]["Code"] == refusal
