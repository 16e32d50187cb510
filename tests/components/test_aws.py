"""What a stack makes in AWS: each promise of docs/aws.md, by resource."""

from __future__ import annotations

import fnmatch
import ipaddress
import json
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest
from pulumi_aws.eks.outputs import NodeGroupResource

from components.aws.nodes import autoscaling_of
from provider.naming import stack_tag
from tests.components.conftest import MODELS, Program
from tests.components.programs import Object, Run, stack_in

REGION, ACCOUNT = "eu-central-1", "123456789012"
ADMIN = f"arn:aws:iam::{ACCOUNT}:role/deploy"
AWS: Object = {"region": REGION, "account": ACCOUNT, "admins": [ADMIN]}
BASE = "gcr.io/distroless/python3-debian12:nonroot"


def config(aws: Object | None = None, **others: Any) -> Object:
    return {"models": MODELS, "aws": {**AWS, **(aws or {})}, "base": BASE, **others}


@pytest.fixture(scope="module")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return stack_in(tmp_path_factory.mktemp("data"), config(), stack="prod")


def only(found: dict[str, Object]) -> Object:
    assert len(found) == 1
    return next(iter(found.values()))


def statements(run: Run) -> Iterator[Object]:
    """Yield what the roles' own policies allow."""
    for inputs in run.of("RolePolicy").values():
        yield from json.loads(inputs["policy"])["Statement"]


def test_credentials_of_another_account_make_nothing(prod: Run) -> None:
    provider = next(one for one in prod.made if one.type == "pulumi:providers:aws")
    assert json.loads(provider.inputs["allowedAccountIds"]) == [ACCOUNT]
    assert provider.inputs["region"] == REGION


def test_every_resource_is_of_the_provider_that_guards_the_account(prod: Run) -> None:
    made = [one for one in prod.made if one.type.startswith("aws:")]
    assert len(made) > 50
    assert all("modelstack:aws:Ground$pulumi:providers:aws::aws::" in one.provider for one in made)


def test_nodes_lie_in_private_subnets_one_a_zone(prod: Run) -> None:
    subnets = prod.of("Subnet")
    private = {f"Subnet/{name}": one for name, one in subnets.items() if "private" in name}
    assert [one["availabilityZone"] for one in private.values()] == [f"{REGION}{zone}" for zone in "abc"]
    assert not any(one["mapPublicIpOnLaunch"] for one in subnets.values())
    for group in prod.of("NodeGroup").values():
        if "subnetIds" in group:
            assert set(group["subnetIds"]) == set(private)


def test_no_subnet_overlaps_another_and_all_lie_in_the_network(prod: Run) -> None:
    whole = ipaddress.IPv4Network(only(prod.of("Vpc"))["cidrBlock"])
    parts = [ipaddress.IPv4Network(one["cidrBlock"]) for one in prod.of("Subnet").values()]
    assert sum(one.num_addresses for one in ipaddress.collapse_addresses(parts)) == sum(
        one.num_addresses for one in parts
    )
    assert all(one.subnet_of(whole) for one in parts)


@pytest.mark.parametrize("zones", [["a", "b"], ["a", "b", "c", "d"]])
@pytest.mark.parametrize("cidr", ["10.0.0.0/16", "172.20.16.0/20"])
def test_networks_of_every_size_and_number_of_zones_fit(program: Program, zones: list[str], cidr: str) -> None:
    run = program(config({"zones": zones, "cidr": cidr}), stack="prod")
    parts = [ipaddress.IPv4Network(one["cidrBlock"]) for one in run.of("Subnet").values()]
    assert len(parts) == 2 * len(zones)
    # AWS has none smaller than a /28.
    assert max(one.prefixlen for one in parts) <= 28
    assert all(one.subnet_of(ipaddress.IPv4Network(cidr)) for one in parts)


def test_each_zone_has_its_own_way_out(prod: Run) -> None:
    tables = {name: one for name, one in prod.of("RouteTable").items() if "private" in name}
    ways = [one["routes"][0]["natGatewayId"] for one in tables.values()]
    assert len(set(ways)) == len(ways) == 3


def test_one_gateway_serves_all_zones_where_that_is_asked_for(program: Program) -> None:
    run = program(config({"nat": "one"}), stack="staging")
    tables = {name: one for name, one in run.of("RouteTable").items() if "private" in name}
    assert len(run.of("NatGateway")) == 1
    assert len({one["routes"][0]["natGatewayId"] for one in tables.values()}) == 1


def test_images_logins_and_logs_have_a_way_that_is_not_the_internet(prod: Run) -> None:
    services = {one["serviceName"].removeprefix(f"com.amazonaws.{REGION}.") for one in prod.of("VpcEndpoint").values()}
    assert {"s3", "ecr.api", "ecr.dkr", "sts", "logs", "eks-auth"} == services
    group = only(prod.of("SecurityGroup"))
    assert [(one["fromPort"], one["cidrBlocks"]) for one in group["ingress"]] == [(443, ["10.0.0.0/16"])]


def test_the_default_security_group_lets_nothing_in_or_out(prod: Run) -> None:
    assert not {"ingress", "egress"} & set(only(prod.of("DefaultSecurityGroup")))


def test_every_flow_is_logged(prod: Run) -> None:
    flows = only(prod.of("FlowLog"))
    assert flows["trafficType"] == "ALL"
    assert prod.of("LogGroup")["network-flows"]["retentionInDays"] == 90


def test_the_api_server_is_private_unless_networks_are_named(prod: Run, program: Program) -> None:
    closed = next(one for one in prod.made if one.type == "aws:eks/cluster:Cluster").inputs["vpcConfig"]
    assert (closed["endpointPrivateAccess"], closed["endpointPublicAccess"]) == (True, False)
    run = program(config({"apiFrom": ["203.0.113.0/24"]}), stack="prod")
    opened = next(one for one in run.made if one.type == "aws:eks/cluster:Cluster").inputs["vpcConfig"]
    assert (opened["endpointPublicAccess"], opened["publicAccessCidrs"]) == (True, ["203.0.113.0/24"])


def test_secrets_are_encrypted_and_every_log_of_the_control_plane_is_kept(prod: Run) -> None:
    made = next(one for one in prod.made if one.type == "aws:eks/cluster:Cluster").inputs
    assert made["encryptionConfig"]["resources"] == ["secrets"]
    assert made["encryptionConfig"]["provider"]["keyArn"] == "arn:aws:test:::Key/eks-secrets"
    assert set(made["enabledClusterLogTypes"]) == {"api", "audit", "authenticator", "controllerManager", "scheduler"}
    assert all(one["enableKeyRotation"] for one in prod.of("Key").values())


def test_the_cluster_admits_by_access_entries_and_nobody_by_having_made_it(prod: Run) -> None:
    access = next(one for one in prod.made if one.type == "aws:eks/cluster:Cluster").inputs["accessConfig"]
    assert access == {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False}
    assert only(prod.of("AccessEntry"))["principalArn"] == ADMIN


def test_add_ons_are_pinned_and_the_one_of_the_network_enforces_policies(prod: Run) -> None:
    addons = {one["addonName"]: one for one in prod.of("Addon").values()}
    assert {"vpc-cni", "coredns", "kube-proxy", "eks-pod-identity-agent", "aws-ebs-csi-driver"} <= set(addons)
    assert all("eksbuild" in one["addonVersion"] for one in addons.values())
    assert json.loads(addons["vpc-cni"]["configurationValues"]) == {"enableNetworkPolicy": "true"}


def test_only_add_ons_that_call_aws_have_a_role_and_it_is_of_pods(prod: Run) -> None:
    addons = {one["addonName"]: one.get("podIdentityAssociations") for one in prod.of("Addon").values()}
    assert {name for name, found in addons.items() if found} == {"vpc-cni", "aws-ebs-csi-driver"}
    trust = json.loads(prod.of("Role")["eks-vpc-cni"]["assumeRolePolicy"])["Statement"][0]
    assert trust["Principal"] == {"Service": "pods.eks.amazonaws.com"}


def test_a_node_group_without_an_autoscaling_group_is_told_in_one_line() -> None:
    for told in ([], [NodeGroupResource(autoscaling_groups=[])]):
        with pytest.raises(pulumi.RunError, match="node group workers: EKS tells of no autoscaling group of it"):
            autoscaling_of("workers", told)


def test_no_pod_reads_a_nodes_metadata_and_disks_are_encrypted(prod: Run) -> None:
    for template in prod.of("LaunchTemplate").values():
        options = template["metadataOptions"]
        assert (options["httpTokens"], options["httpPutResponseHopLimit"]) == ("required", 1)
        assert template["blockDeviceMappings"][0]["ebs"]["encrypted"] == "true"


def test_what_every_cluster_needs_has_nodes_that_nothing_else_runs_on(prod: Run) -> None:
    groups = {name: one for name, one in prod.of("NodeGroup").items() if "scalingConfig" in one}
    assert groups["system"]["taints"] == [{"key": "CriticalAddonsOnly", "value": "true", "effect": "NO_SCHEDULE"}]
    assert "taints" not in groups["workers"]


def test_no_role_may_do_everything(prod: Run) -> None:
    attached = [one["policyArn"] for one in prod.of("RolePolicyAttachment").values()]
    assert attached
    assert not [one for one in attached if "FullAccess" in one or one.endswith("/AdministratorAccess")]
    for one in statements(prod):
        assert not [action for action in one["Action"] if "*" in action]
        assert one["Resource"] != "*"


def test_a_repository_of_its_own_takes_each_models_images(prod: Run) -> None:
    repositories = {name: one for name, one in prod.of("Repository").items() if "imageTagMutability" in one}
    assert set(repositories) == {"modelstack-prod/digits", "modelstack-prod/mnist"}
    for one in repositories.values():
        assert one["encryptionConfigurations"][0]["encryptionType"] == "KMS"
        assert one["imageScanningConfiguration"]["scanOnPush"]
    images = prod.of("ModelImage")
    assert {one["push"] for one in images.values()} == {f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"}
    assert {one["repository"] for one in images.values()} == set(repositories)


def test_a_tag_of_inputs_never_moves_and_a_stacks_hold_does(prod: Run) -> None:
    held = stack_tag("urn:pulumi:prod::modelstack::modelstack:index:ModelImage::digits")
    for one in prod.of("Repository").values():
        if "imageTagMutability" not in one:
            continue
        assert one["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
        moving = [each["filter"] for each in one["imageTagMutabilityExclusionFilters"]]
        assert [fnmatch.fnmatch(held, each) for each in moving] == [True, False]
        assert not any(fnmatch.fnmatch(f"inputs-{'0' * 64}", each) for each in moving)


def test_only_images_that_no_tag_names_expire(prod: Run) -> None:
    for one in prod.of("LifecyclePolicy").values():
        assert [rule["selection"]["tagStatus"] for rule in json.loads(one["policy"])["rules"]] == ["untagged"]


def test_a_registry_of_ones_own_is_used_in_place_of_the_accounts(program: Program) -> None:
    run = program(config(registry={"push": "registry.example.com"}), stack="prod")
    assert not [one for one in run.made if one.type.startswith("aws:ecr/")]
    assert set(run.of("Key")) == {"eks-secrets"}
    assert {one["push"] for one in run.of("ModelImage").values()} == {"registry.example.com"}


def test_the_cluster_is_reached_by_a_token_of_the_aws_cli_and_no_stored_secret(prod: Run) -> None:
    provider = next(one for one in prod.made if one.type == "pulumi:providers:kubernetes")
    found = json.loads(provider.inputs["kubeconfig"])
    assert found["clusters"][0]["cluster"]["server"] == "https://api.eks.test"
    asked = found["users"][0]["user"]["exec"]
    assert (asked["command"], asked["args"][:2]) == ("aws", ["eks", "get-token"])


def test_what_waits_on_the_cluster_gets_the_same_kubeconfig(program: Program) -> None:
    models = {name: {**one, "rollout": {"strategy": "canary"}} for name, one in MODELS.items()}
    run = program(config(models=models), stack="prod")
    provider = next(one for one in run.made if one.type == "pulumi:providers:kubernetes")
    waiting = [*run.of("Promotion").values(), *run.of("SmokeTest").values(), *run.of("Definitions").values()]
    assert len(waiting) == 5
    assert {one["kubeconfig"] for one in waiting} == {provider.inputs["kubeconfig"]}
