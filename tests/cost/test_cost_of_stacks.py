"""The stack's output `cost`, of whole programs on mocks, beside what the policy pack counts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s
import pytest

from components.ledger import Ledger
from cost.rates import Rates
from policy.facts import PROJECT
from settings import GpuPoolSettings, SettingsError, gpus_of
from tests.components.conftest import MODELS
from tests.components.gpus import OTHERS, with_pools
from tests.components.programs import Engine, Made, Object, Run, awaited, stack_of
from tests.components.test_aws import config
from tests.policy.judging import Given, Judges

PRICES = Path(__file__).with_name("prices.yaml")
COST = {"priceFile": str(PRICES.relative_to(PROJECT))}
POOL_DISK = GpuPoolSettings.model_fields["disk"].default


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: Object, **options: Any) -> Run:
    return stack_of(monkeypatch, tmp_path, given, **options)


def in_order(found: Run) -> list[Made]:
    return sorted(found.made, key=lambda one: (one.type, one.name))


@pytest.mark.parametrize("preview", [False, True])
def test_a_stack_in_aws_tells_its_cost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, preview: bool) -> None:
    found = run(monkeypatch, tmp_path, config(policies={"cost": COST}), stack="prod", preview=preview).outputs["cost"]
    hours = 0.3 + 3 * 0.5 + 3 * 0.03 + 5 * 3 * 0.06 + 2 * 1.0 + 2 * 2.0
    keys, disks = 2 * 2.0, 4 * 50 * 0.2
    assert found["monthly"] == pytest.approx(hours * 730 + keys + disks)
    assert found["currency"] == "USD"
    # An eighth of a core, of 8 cores for twice 2.00 an hour and two disks of 50 GiB.
    workers = 2 * 2.0 * 730 + 2 * 50 * 0.2
    assert found["models"] == {"digits": workers * 0.2 / 8, "mnist": workers * 0.1 / 8}
    assert found["notCounted"] == [
        "aws:cloudwatch/logGroup:LogGroup: by use",
        "aws:ec2/natGateway:NatGateway: by use",
        "aws:ec2/vpcEndpoint:VpcEndpoint: by use",
        "aws:ecr/repository:Repository: by use",
    ]


def test_pools_of_gpus_count_what_is_there_at_first_and_name_what_comes_by_load(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without = run(monkeypatch, tmp_path, config(policies={"cost": COST}), stack="prod").outputs["cost"]
    found = run(monkeypatch, tmp_path, with_pools(policies={"cost": COST}), stack="prod").outputs["cost"]
    node = 5.0 * 730 + POOL_DISK * 0.2
    assert found["monthly"] - without["monthly"] == pytest.approx(node)
    assert set(found["notCounted"]) - set(without["notCounted"]) == {
        "aws:eks/nodeGroup:NodeGroup: nodes that come by load",
        "aws:sqs/queue:Queue: by use",
        "kubernetes:helm.sh/v4:Chart: what the chart brings",
        "kubernetes:karpenter.sh/v1:NodePool: nodes that come by load",
    }
    auto = run(monkeypatch, tmp_path, with_pools(OTHERS["auto"], policies={"cost": COST}), stack="prod").outputs["cost"]
    assert {
        "aws:eks/cluster:Cluster: nodes that come by load",
        "kubernetes:karpenter.sh/v1:NodePool: nodes that come by load",
    } <= set(auto["notCounted"])


def test_a_stack_without_prices_tells_no_cost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "cost" not in run(monkeypatch, tmp_path, {"models": MODELS}).outputs


@pytest.mark.parametrize("cost", [None, {"prices": {"cpu": 20}}])
def test_a_stack_without_prices_imports_nothing_that_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cost: Object | None
) -> None:
    counting = [name for name in sys.modules if name == "components.ledger" or name.partition(".")[0] == "cost"]
    for name in counting:
        monkeypatch.delitem(sys.modules, name)
    run(monkeypatch, tmp_path, {"models": MODELS, **({"policies": {"cost": cost}} if cost else {})})
    assert ("cost.bill" in sys.modules, "components.ledger" in sys.modules) == (cost is not None, cost is not None)


def test_telling_the_cost_changes_no_resource(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without = run(monkeypatch, tmp_path, config(), stack="prod")
    told = run(monkeypatch, tmp_path, config(policies={"cost": COST}), stack="prod")
    assert in_order(told) == in_order(without)


def test_a_stack_on_machines_of_others_costs_what_its_pods_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cost = {"prices": {"cpu": 20, "memory": 3, "storage": 0.1}, "currency": "EUR"}
    found = run(monkeypatch, tmp_path, {"models": MODELS, "policies": {"cost": cost}}).outputs["cost"]
    assert found["models"] == {"digits": round(2 * (2 + 0.1875 * 3), 2), "mnist": round(2 + 0.1875 * 3, 2)}
    assert found["monthly"] > sum(found["models"].values())
    assert (found["currency"], found["notCounted"]) == ("EUR", [])


def test_the_policy_counts_what_the_output_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = run(monkeypatch, tmp_path, config(policies={"cost": COST}), stack="prod")
    given = [Given(one.type, one.inputs, one.name) for one in made.made if one.custom]
    money = made.outputs["cost"]["monthly"]
    limits = [money + 0.01, money - 0.01]
    told = [Judges({"policies": {"cost": {**COST, "limit": one}}}).judge("cost-limit", *given) for one in limits]
    assert [len(one) for one in told] == [0, 1]
    assert f"{money:.2f} a month is above" in told[1][0]


def test_a_price_file_that_the_policy_cannot_read_leaves_the_prices_of_the_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cost = {"priceFile": "none.yaml", "prices": {"m7i.large": 70}, "limit": 69}
    instance = Given("aws:ec2/instance:Instance", {"instanceType": "m7i.large"})
    assert len(Judges({"policies": {"cost": cost}}).judge("cost-limit", instance)) == 1
    assert "none.yaml: cannot be read" in capsys.readouterr().err


def test_prices_of_another_region_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(pulumi.RunError, match=r"priceFile: .* has the prices of eu-central-1, the stack lies in eu-w"):
        run(monkeypatch, tmp_path, config({"region": "eu-west-1"}, policies={"cost": COST}), stack="prod")


def told(program: Callable[[], None], prices: Mapping[str, float], *, preview: bool = False) -> Object:
    """Return the cost of what a program declares."""

    def watched() -> None:
        ledger = Ledger(Rates("USD", prices, {}), {})
        ledger.watch()
        program()
        pulumi.export("cost", ledger.cost)

    found: Object = awaited(Engine({}), watched, preview=preview).outputs["cost"]
    return found


def test_what_is_only_read_costs_nothing() -> None:
    def program() -> None:
        aws.kms.Key("own")
        aws.kms.Key.get("of-others", "key-of-others")

    assert told(program, {"aws:kms/key:Key": 2.0})["monthly"] == 2.0


def test_what_only_up_knows_is_named_and_the_rest_is_counted() -> None:
    def program() -> None:
        key = aws.kms.Key("own")
        sizes = aws.eks.NodeGroupScalingConfigArgs(min_size=1, max_size=2, desired_size=1)
        for name, kind in (("known", "m7i.large"), ("unknown", key.key_usage)):
            aws.eks.NodeGroup(
                name, cluster_name="c", node_role_arn="r", subnet_ids=[], instance_types=[kind], scaling_config=sizes
            )

    found = told(program, {"aws:kms/key:Key": 2.0, "m7i.large": 70.0}, preview=True)
    assert found["monthly"] == 72.0
    assert "aws:eks/nodeGroup:NodeGroup: not known before `up`" in found["notCounted"]


@pytest.mark.parametrize("of", [pulumi.Output.secret, pulumi.Output.from_input])
def test_pods_whose_spec_is_one_output_or_a_secret_are_counted(of: Callable[[Object], pulumi.Output[Object]]) -> None:
    model = {"resources": {"requests": {"cpu": "2"}}}

    def program() -> None:
        k8s.apiextensions.CustomResource(
            "llm",
            api_version="serving.kserve.io/v1beta1",
            kind="InferenceService",
            spec=of({"predictor": {"minReplicas": 3, "model": model}}),
        )

    found = told(program, {"cpu": 20.0})
    assert (found["monthly"], found["notCounted"]) == (3 * 2 * 20, [])


def test_a_chart_is_named_though_the_program_sees_none_of_its_objects() -> None:
    def program() -> None:
        k8s.helm.v4.Chart("keda", chart="oci://example.com/keda")

    found = told(program, {"cpu": 20.0})
    assert found["notCounted"] == ["kubernetes:helm.sh/v4:Chart: what the chart brings"]


@pytest.mark.parametrize(
    ("runtime", "gpus"),
    [
        ("", 0),
        ("runtime: {name: onnxruntime, device: gpu}", 1),
        ("runtime: {name: vllm}", 1),
        ("runtime: {name: vllm, tensor_parallel: 4}", 4),
        ("runtime: {name: vllm, pipeline_parallel: 2}", 2),
        ("runtime: {name: vllm, tensor_parallel: 4, pipeline_parallel: 2}", 8),
        ("runtime: {name: vllm, tensor_parallel: many}", 0),
        ("runtime: {name: triton, gpus: 2}", 2),
        ("runtime: {name: triton}", 0),
        ("runtime: {name: triton, gpus: many}", 0),
    ],
)
def test_a_replica_has_the_gpus_that_its_server_is_started_for(tmp_path: Path, runtime: str, gpus: int) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"name: it\n{runtime}\n")
    assert gpus_of(recipe) == gpus


def test_a_pod_of_several_nodes_has_its_part_of_the_gpus(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: it\nruntime: {name: vllm, tensor_parallel: 4, pipeline_parallel: 2}\n")
    assert [gpus_of(recipe, nodes) for nodes in (1, 2, 4)] == [8, 4, 2]


def test_settings_that_name_a_price_file_that_is_not_there_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(
        (pulumi.RunError, SettingsError), match=r"modelstack:policies\.cost\.priceFile: .*no\.yaml: canno"
    ):
        run(monkeypatch, tmp_path, {"models": MODELS, "policies": {"cost": {"priceFile": "no.yaml"}}})
