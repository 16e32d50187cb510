"""What is counted of a stack's resources, and that what has no price is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cost.bill import Bill, Declared, bill
from cost.rates import Rates, rates
from cost.shares import Request, of_models
from settings import SettingsError
from settings.policies import CostSettings

Object = dict[str, Any]
PRICES = Path(__file__).with_name("prices.yaml")
UNKNOWN = object()
GROUP, NAT, ENDPOINT = "aws:eks/nodeGroup:NodeGroup", "aws:ec2/natGateway:NatGateway", "aws:ec2/vpcEndpoint:VpcEndpoint"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"


def by_file(**others: Any) -> Rates:
    return rates(CostSettings(price_file=PRICES.name, **others), PRICES.parent)


def of(*found: Declared, prices: dict[str, float] | None = None) -> Bill:
    return bill(found, by_file().monthly if prices is None else prices)


def group(instance: Any = "m7i.large", nodes: Any = 2, name: str = "workers", **others: Any) -> Declared:
    sizes = {"scalingConfig": {"minSize": nodes, "desiredSize": nodes, "maxSize": 9}}
    return Declared(GROUP, name, {"instanceTypes": [instance], **sizes, **others})


def pods(requests: Object, replicas: Any = 1) -> Declared:
    template = {"spec": {"containers": [{"resources": {"requests": requests}}]}}
    return Declared(DEPLOYMENT, "digits", {"spec": {"replicas": replicas, "template": template}})


def test_nodes_cost_as_many_as_there_are_at_first() -> None:
    assert of(group(nodes=3)).money == 3 * 1.0 * 730
    raised = {"scalingConfig": {"minSize": 4, "desiredSize": 2}}
    assert of(Declared(GROUP, "workers", {"instanceTypes": ["m7i.large"], **raised})).money == 4 * 730


def test_spot_nodes_cost_what_spot_does() -> None:
    found = of(group("g5.xlarge", capacityType="SPOT"))
    assert (found.money, found.missing) == (2 * 1.5 * 730, ())


def test_spot_nodes_without_a_price_of_their_own_are_counted_as_others_and_told() -> None:
    found = of(group(capacityType="SPOT"))
    assert found.money == 2 * 730
    assert found.missing == (f"{GROUP}: no price of m7i.large spot, counted as on demand",)


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
        ("aws:eks/cluster:Cluster", {"computeConfig": {"enabled": True}}, "nodes that come by load"),
        ("kubernetes:karpenter.sh/v1:NodePool", {"spec": {}}, "nodes that come by load"),
        ("kubernetes:helm.sh/v3:Release", {}, "what the chart brings"),
        ("kubernetes:helm.sh/v4:Chart", {}, "what the chart brings"),
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


def test_pods_cost_what_they_request_where_that_has_a_price() -> None:
    asked = pods({"cpu": "500m", "memory": "2Gi", "nvidia.com/gpu": "1"}, replicas=3)
    found = of(asked, prices={"cpu": 20, "memory": 3, "nvidia.com/gpu": 400})
    assert (found.money, found.missing) == (3 * (10 + 6 + 400), ())


def test_pods_on_machines_that_are_counted_cost_nothing_more() -> None:
    found = of(group(), pods({"cpu": "1", "memory": "1Gi"}))
    assert (found.money, found.missing) == (2 * 730, ())


def test_pods_without_a_price_on_machines_of_others_are_named() -> None:
    assert of(pods({"cpu": "1"})).missing == (f"{DEPLOYMENT}: no price of cpu of pods",)


@pytest.mark.parametrize(
    "spec",
    [
        UNKNOWN,
        {"replicas": UNKNOWN, "template": {"spec": {"containers": []}}},
        {"template": UNKNOWN},
        {"template": {"spec": {"containers": UNKNOWN}}},
        {"template": {"spec": {"containers": [{"resources": UNKNOWN}]}}},
        {"template": {"spec": {"containers": [{"resources": {"requests": {"cpu": UNKNOWN}}}]}}},
    ],
)
def test_pods_that_are_not_known_yet_are_named_where_pods_are_counted(spec: Any) -> None:
    unknown = Declared("kubernetes:argoproj.io/v1alpha1:Rollout", "digits", {"spec": spec})
    assert of(unknown, prices={"cpu": 1}).missing == (f"{unknown.type}: not known before `up`",)
    assert of(group(), unknown).missing == ()


def test_a_disk_that_is_not_known_yet_is_named() -> None:
    template = Declared(TEMPLATE, "workers", {"blockDeviceMappings": [{"ebs": {"volumeSize": UNKNOWN}}]})
    assert of(template, group(launchTemplate={})).missing == (f"{GROUP}: not known before `up`",)


def test_an_image_that_is_not_known_yet_leaves_the_requests_that_are() -> None:
    container = {"image": UNKNOWN, "resources": {"requests": {"cpu": "2"}}}
    known = Declared(DEPLOYMENT, "digits", {"spec": {"template": {"spec": {"containers": [container]}}}})
    assert (of(known, prices={"cpu": 1}).money, of(known, prices={"cpu": 1}).missing) == (2, ())


def share(requests: dict[str, Request], *found: Declared, used: Rates | None = None) -> dict[str, float]:
    chosen = used or by_file()
    return of_models(bill(found, chosen.monthly), chosen, requests)


def test_a_model_costs_its_share_of_what_it_takes_most_of() -> None:
    # Two machines of 2 cores and 8 GiB for 1460: a quarter of the cores, an eighth of the memory.
    assert share({"digits": Request(cpu=1, memory=2)}, group()) == {"digits": 365.0}
    assert share({"digits": Request(cpu=1, memory=8)}, group()) == {"digits": 730.0}


def test_machines_with_gpus_are_shared_by_those_that_ask_for_gpus_alone() -> None:
    gpus = group("g5.12xlarge", 1, "gpus", taints=[{"key": "nvidia.com/gpu", "effect": "NO_SCHEDULE"}])
    found = share({"a": Request(cpu=2, memory=2), "llm": Request(cpu=1, memory=1, gpus=2)}, group(), gpus)
    assert found == {"a": 730.0, "llm": 40 * 730 / 2}


def test_machines_that_let_no_model_in_are_nobodys() -> None:
    system = group(name="system", taints=[{"key": "CriticalAddonsOnly", "effect": "NO_SCHEDULE"}])
    assert share({"digits": Request(cpu=1, memory=1)}, group(), system) == {"digits": 365.0}
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
