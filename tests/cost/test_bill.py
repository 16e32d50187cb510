"""What is counted of a stack's resources, and that what has no price is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cost.bill import Bill, bill
from cost.lines import Declared
from cost.rates import Rates, rates
from cost.shares import Request, of_models
from settings import SettingsError
from settings.policies import CostSettings

Object = dict[str, Any]
PRICES = Path(__file__).with_name("prices.yaml")
UNKNOWN = object()
GROUP, NAT, ENDPOINT = "aws:eks/nodeGroup:NodeGroup", "aws:ec2/natGateway:NatGateway", "aws:ec2/vpcEndpoint:VpcEndpoint"
REDIS = "aws:elasticache/replicationGroup:ReplicationGroup"
# A node with the disk of 20 GiB that EKS gives one where nobody says.
NODE = 1.0 * 730 + 20 * 0.2
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"


def by_file(**others: Any) -> Rates:
    return rates(CostSettings(price_file=PRICES.name, **others), PRICES.parent)


def of(*found: Declared, prices: dict[str, float] | None = None) -> Bill:
    return bill(found, by_file().monthly if prices is None else prices)


def group(instance: Any = "m7i.large", nodes: Any = 2, name: str = "workers", **others: Any) -> Declared:
    sizes = {"scalingConfig": {"minSize": nodes, "desiredSize": nodes, "maxSize": 9}}
    return Declared(GROUP, name, {"instanceTypes": [instance], **sizes, **others})


def test_nodes_cost_as_many_as_there_are_at_first() -> None:
    assert of(group(nodes=3)).money == 3 * NODE
    raised = {"scalingConfig": {"minSize": 4, "desiredSize": 2}}
    assert of(Declared(GROUP, "workers", {"instanceTypes": ["m7i.large"], **raised})).money == 4 * NODE


def test_spot_nodes_cost_what_spot_does() -> None:
    found = of(group("g5.xlarge", capacityType="SPOT"))
    assert (found.money, found.missing) == (2 * (1.5 * 730 + 20 * 0.2), ())


def test_spot_nodes_without_a_price_of_their_own_are_counted_as_others_and_told() -> None:
    found = of(group(capacityType="SPOT"))
    assert found.money == 2 * NODE
    assert found.missing == (f"{GROUP}: no price of m7i.large spot, counted as on demand",)


def test_a_disk_that_the_group_names_goes_before_what_eks_gives() -> None:
    assert of(group(diskSize=100)).money == 2 * (730 + 100 * 0.2)
    assert of(group(diskSize=UNKNOWN)).missing == (f"{GROUP}: not known before `up`",)
    assert of(group(diskSize=UNKNOWN)).money == 2 * 730


def test_nodes_that_may_be_spot_are_counted_as_on_demand_and_told() -> None:
    found = of(group("g5.xlarge", capacityType=UNKNOWN))
    assert (found.money, found.missing) == (2 * (5 * 730 + 4), (f"{GROUP}: not known before `up`",))


def test_the_disks_of_nodes_are_those_of_their_launch_template() -> None:
    disks = [
        {"deviceName": "/dev/xvda", "ebs": {"volumeSize": 50}},
        {"deviceName": "/dev/xvdb", "ebs": {"volumeSize": 10}},
    ]
    template = Declared(TEMPLATE, "workers", {"blockDeviceMappings": disks})
    launched = group(launchTemplate={"id": UNKNOWN, "version": UNKNOWN})
    assert of(template, launched).money == pytest.approx(2 * 730 + 2 * 60 * 0.2)
    assert of(launched).missing == (f"{GROUP}: disks",)


def test_groups_of_a_pool_share_the_launch_template_that_has_the_pools_name() -> None:
    small, large = (
        Declared(TEMPLATE, name, {"blockDeviceMappings": [{"ebs": {"volumeSize": size}}]})
        for name, size in (("gpu", 10), ("gpu-large", 100))
    )
    launched = group(nodes=1, name="gpu-large-spot", launchTemplate={})
    assert of(small, large, launched).money == pytest.approx(730 + 100 * 0.2)


def test_a_group_that_begins_without_nodes_is_named() -> None:
    found = of(group(nodes=0, capacityType="SPOT", launchTemplate={}))
    assert (found.money, found.missing) == (0, (f"{GROUP}: nodes that come by load",))


@pytest.mark.parametrize(
    ("type_", "properties", "money"),
    [
        ("aws:eks/cluster:Cluster", {}, 0.3 * 730),
        (NAT, {}, 0.5 * 730),
        ("aws:ec2/eip:Eip", {}, 0.03 * 730),
        ("aws:kms/key:Key", {}, 2),
        (ENDPOINT, {"vpcEndpointType": "Interface", "subnetIds": [UNKNOWN, UNKNOWN, UNKNOWN]}, 3 * 0.06 * 730),
        (ENDPOINT, {"vpcEndpointType": "Gateway"}, 0),
        ("aws:lb/loadBalancer:LoadBalancer", {"loadBalancerType": "network"}, 0.15 * 730),
        ("aws:lb/loadBalancer:LoadBalancer", {}, 0.25 * 730),
        ("aws:ebs/volume:Volume", {"type": "gp3", "size": 100}, 20),
        ("kubernetes:core/v1:Service", {"spec": {"type": "LoadBalancer"}}, 0.15 * 730),
        ("kubernetes:core/v1:Service", {"spec": {"type": "ClusterIP"}}, 0),
        ("kubernetes:core/v1:PersistentVolumeClaim", {"spec": {"resources": {"requests": {"storage": "50Gi"}}}}, 10),
        ("aws:iam/role:Role", {}, 0),
        ("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", {}, 0),
        ("aws:ec2/routeTableAssociation:RouteTableAssociation", {}, 0),
    ],
)
def test_what_costs_something_is_counted_by_the_file(type_: str, properties: Object, money: float) -> None:
    assert of(Declared(type_, "it", properties)).money == pytest.approx(money)


@pytest.mark.parametrize(
    ("type_", "properties", "missing"),
    [
        (NAT, {}, "by use"),
        ("aws:ecr/repository:Repository", {}, "by use"),
        ("aws:route53/zone:Zone", {}, "no price"),
        (GROUP, {"instanceTypes": ["m9.huge"], "scalingConfig": {"minSize": 1}}, "no price of m9.huge"),
        (GROUP, {"instanceTypes": UNKNOWN, "scalingConfig": {"minSize": 1}}, "not known before `up`"),
        (GROUP, {"instanceTypes": ["m7i.large"], "scalingConfig": {"minSize": UNKNOWN}}, "not known before `up`"),
        (ENDPOINT, {"vpcEndpointType": "Interface", "subnetIds": UNKNOWN}, "not known before `up`"),
        ("aws:ebs/volume:Volume", {"type": "io2", "size": 8}, "no price of io2"),
        ("aws:ebs/volume:Volume", {"type": "gp3", "size": UNKNOWN}, "not known before `up`"),
        ("aws:ebs/volume:Volume", {"type": UNKNOWN, "size": 8}, "not known before `up`"),
        ("aws:ebs/volume:Volume", {"type": "gp3", "snapshotId": "s"}, "disks as large as their snapshots"),
        ("aws:lb/loadBalancer:LoadBalancer", {"loadBalancerType": UNKNOWN}, "not known before `up`"),
        (ENDPOINT, {"vpcEndpointType": UNKNOWN, "subnetIds": ["a"]}, "not known before `up`"),
        ("aws:ec2/instance:Instance", {"instanceType": "m7i.large"}, "disks"),
        (REDIS, {"nodeType": "m7i.large", "numCacheClusters": UNKNOWN}, "not known before `up`"),
        ("aws:s3/bucketV2:BucketV2", {}, "by use"),
        ("aws:s3/bucketObjectv2:BucketObjectv2", {}, "by use"),
        ("aws:s3/bucketMetric:BucketMetric", {}, "no price"),
        ("aws:ec2/vpcRouteServer:VpcRouteServer", {}, "no price"),
        ("aws:eks/cluster:Cluster", {"computeConfig": {"enabled": UNKNOWN}}, "nodes that come by load"),
        ("aws:eks/cluster:Cluster", {"computeConfig": {"enabled": True}}, "nodes that come by load"),
        ("kubernetes:karpenter.sh/v1:NodePool", {"spec": {}}, "nodes that come by load"),
        ("kubernetes:core/v1:Service", {"spec": {"type": UNKNOWN}}, "not known before `up`"),
        ("kubernetes:apps/v1:StatefulSet", {"spec": UNKNOWN}, "not known before `up`"),
        ("kubernetes:core/v1:PersistentVolumeClaim", {"spec": UNKNOWN}, "not known before `up`"),
    ],
)
def test_what_is_not_counted_is_named(type_: str, properties: Object, missing: str) -> None:
    assert f"{type_}: {missing}" in of(Declared(type_, "it", properties)).missing


def test_a_price_that_the_file_lacks_is_named_and_never_zero() -> None:
    for one in ("aws:eks/cluster:Cluster", NAT, "aws:ec2/eip:Eip", "aws:kms/key:Key"):
        assert f"{one}: no price" in of(Declared(one, "it", {}), prices={"cpu": 1}).missing


def test_a_disk_that_is_not_known_yet_is_named() -> None:
    template = Declared(TEMPLATE, "workers", {"blockDeviceMappings": [{"ebs": {"volumeSize": UNKNOWN}}]})
    assert of(template, group(launchTemplate={})).missing == (f"{GROUP}: not known before `up`",)


def share(requests: dict[str, Request], *found: Declared, used: Rates | None = None) -> dict[str, float]:
    chosen = used or by_file()
    return of_models(bill(found, chosen.monthly), chosen, requests)


def test_a_model_costs_its_share_of_what_it_takes_most_of() -> None:
    # Two machines of 2 cores and 8 GiB for 1468: a quarter of the cores, an eighth of the memory.
    assert share({"digits": Request(cpu=1, memory=2)}, group()) == {"digits": NODE / 2}
    assert share({"digits": Request(cpu=1, memory=8)}, group()) == {"digits": NODE}


def test_machines_with_gpus_are_shared_by_those_that_ask_for_gpus_alone() -> None:
    gpus = group("g5.12xlarge", 1, "gpus", taints=[{"key": "nvidia.com/gpu", "effect": "NO_SCHEDULE"}])
    found = share({"a": Request(cpu=2, memory=2), "llm": Request(cpu=1, memory=1, gpus=2)}, group(), gpus)
    assert found == {"a": NODE, "llm": (40 * 730 + 20 * 0.2) / 2}


def test_machines_that_let_no_model_in_are_nobodys() -> None:
    system = group(name="system", taints=[{"key": "CriticalAddonsOnly", "effect": "NO_SCHEDULE"}])
    assert share({"digits": Request(cpu=1, memory=1)}, group(), system) == {"digits": NODE / 2}
    assert share({"digits": Request(cpu=1, memory=1)}, system) == {}


def test_a_model_on_machines_of_which_one_is_not_known_has_no_share() -> None:
    assert share({"digits": Request(cpu=1, memory=1)}, group(), group("m9.huge", name="more")) == {}


def test_a_model_costs_what_it_requests_where_that_has_a_price() -> None:
    own = rates(CostSettings(prices={"cpu": 20, "memory": 3}), Path())
    assert share({"digits": Request(cpu=0.2, memory=0.5)}, used=own) == {"digits": 5.5}
    assert share({"llm": Request(cpu=1, memory=1, gpus=1)}, used=own) == {}


def test_prices_of_the_settings_go_before_those_of_the_file() -> None:
    found = by_file(prices={"m7i.large": 600, "cpu": 1})
    assert (found.monthly["m7i.large"], found.monthly["m7i.xlarge"], found.monthly["cpu"]) == (600, 1460, 1)


@pytest.mark.parametrize(
    ("cost", "region", "says"),
    [
        ({"price_file": "none.yaml"}, None, "priceFile: .*none.yaml: cannot be read"),
        ({"price_file": "prices.yaml", "currency": "EUR"}, None, "currency: EUR is not that of prices.yaml, USD"),
        (
            {"price_file": "prices.yaml"},
            "eu-west-1",
            "priceFile: prices.yaml has the prices of eu-central-1, the stack",
        ),
    ],
)
def test_a_file_that_does_not_fit_the_stack_is_refused(cost: Object, region: str | None, says: str) -> None:
    with pytest.raises(SettingsError, match=rf"^modelstack:policies\.cost\.{says}"):
        rates(CostSettings(**cost), PRICES.parent, region)
