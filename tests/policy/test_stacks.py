"""Policies of a whole stack, and exceptions."""

import pytest

from policy.pack import STACK_RULES
from tests.policy.judging import CLOSED, POD, Given, Judges, Object, deployment

BUCKET = Given("aws:s3/bucket:Bucket", {"bucket": "reports"}, "reports")
KEYED = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
NAT = "aws:ec2/natGateway:NatGateway"
PRICES = {"cpu": 20.0, "memory": 3.0, "storage": 0.1, "nvidia.com/gpu": 400, "m6i.large": 70, NAT: 33}
JUDGED = {"network-policy", "bucket-encryption", "cost-limit", "nat-per-zone-in-prod"}


def test_every_policy_of_stacks_is_tested_here() -> None:
    assert {one.name for one in STACK_RULES} == JUDGED


def test_a_namespace_with_pods_needs_a_policy_that_selects_them_all() -> None:
    judges = Judges()
    (message,) = judges.judge("network-policy", deployment())
    assert "metadata.namespace: 'models' has no NetworkPolicy that selects all pods" in message
    assert judges.judge("network-policy", deployment(), CLOSED) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.namespace", "others"),
        ("spec.podSelector", {"matchLabels": {"a": "b"}}),
        ("spec.policyTypes", ["Egress"]),
    ],
)
def test_a_policy_for_others_is_none(path: str, value: object) -> None:
    assert len(Judges().judge("network-policy", deployment(), CLOSED.having(path, value))) == 1


def test_a_namespace_without_pods_needs_no_policy() -> None:
    config = Given("kubernetes:core/v1:ConfigMap", {"metadata": {"namespace": "models"}})
    assert Judges().judge("network-policy", config) == []


def test_each_namespace_is_told_once() -> None:
    told = Judges().judge("network-policy", deployment("a"), deployment("b"), deployment("c", namespace="others"))
    assert len(told) == 2


def test_a_bucket_without_a_key_of_its_own_is_refused() -> None:
    (message,) = Judges().judge("bucket-encryption", BUCKET)
    assert message.startswith("aws:s3/bucket:Bucket reports: serverSideEncryptionConfiguration: is missing; add a")


@pytest.mark.parametrize(
    "keyed",
    [
        [BUCKET, Given(KEYED, {"bucket": "reports"}, "key")],
        [BUCKET, Given(KEYED, {}, "key", depends_on=("reports",))],
        [BUCKET.having("serverSideEncryptionConfiguration", {"rule": {}})],
    ],
    ids=["by name", "by dependency", "inline"],
)
def test_a_bucket_with_a_key_is_let_pass(keyed: list[Given]) -> None:
    assert Judges().judge("bucket-encryption", *keyed) == []


def test_the_key_of_another_bucket_is_none() -> None:
    assert len(Judges().judge("bucket-encryption", BUCKET, Given(KEYED, {"bucket": "others"}, "key"))) == 1


def limited(limit: float, **policies: object) -> Judges:
    return Judges({"policies": {"cost": {"limit": limit, "prices": PRICES}, **policies}})


def test_a_stack_above_its_limit_is_told_with_what_is_dearest() -> None:
    # Three of 0.1 cores at 20 and 64 MiB at 3 a GiB are 6.56, beside a gateway of 33.
    pods, gateway = deployment("digits").having("spec.replicas", 3.0), Given(NAT, {}, "nat")
    (message,) = limited(39.5).judge("cost-limit", pods, gateway)
    assert "modelstack:policies.cost.limit: 39.56 a month is above 39.50 (nat 33.00, digits 6.56)" in message
    assert limited(39.6).judge("cost-limit", pods, gateway) == []


def test_a_stack_without_prices_costs_nothing_that_is_known() -> None:
    assert Judges().judge("cost-limit", deployment()) == []


@pytest.mark.parametrize(
    ("type_", "properties", "cost"),
    [
        # With the disk of 20 GiB that EKS gives each.
        ("aws:eks/nodeGroup:NodeGroup", {"instanceTypes": ["m6i.large"], "scalingConfig": {"desiredSize": 2}}, 144),
        ("aws:ec2/instance:Instance", {"instanceType": "m6i.large"}, 70),
        ("kubernetes:core/v1:PersistentVolumeClaim", {"spec": {"resources": {"requests": {"storage": "100Gi"}}}}, 10),
        (
            "kubernetes:apps/v1:Deployment",
            {"spec": {"template": {"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "1"}}}]}}}},
            400,
        ),
        ("kubernetes:batch/v1:Job", {"spec": {"template": {"spec": POD}}}, 0),
    ],
)
def test_what_costs_something_is_counted(type_: str, properties: Object, cost: float) -> None:
    given = Given(type_, properties)
    assert limited(cost).judge("cost-limit", given) == []
    assert len(limited(cost - 0.01).judge("cost-limit", given)) == (1 if cost else 0)


def test_what_the_stack_itself_tells_it_costs_goes_before_what_is_seen() -> None:
    stack = Given("pulumi:pulumi:Stack", {"cost": {"monthly": 40.0}}, "prod")
    (message,) = limited(39.5).judge("cost-limit", Given(NAT, {}, "nat"), stack)
    assert "40.00 a month is above 39.50 (nat 33.00)" in message
    assert limited(32.0).judge("cost-limit", Given(NAT, {}, "nat"), stack.having("cost", {"monthly": 31.0})) == []
    assert len(limited(32.0).judge("cost-limit", Given(NAT, {}, "nat"), stack.having("cost", "31"))) == 1


def test_what_goes_on_in_the_clear_behind_the_way_in_is_told_in_prod_alone() -> None:
    plain = Given("aws:lb/targetGroup:TargetGroup", {"protocol": "HTTP"}, "door")
    assert Judges(stack="dev").judge("no-public-endpoint", plain) == []
    assert len(Judges(stack="prod").judge("no-public-endpoint", plain)) == 1
    exception = {"policy": "no-public-endpoint", "resource": "door", "reason": "the network encrypts by itself"}
    assert Judges({"policies": {"exceptions": [exception]}}, "prod").judge("no-public-endpoint", plain) == []


def test_a_single_nat_gateway_is_told_in_prod() -> None:
    one, two = Given(NAT, {}, "a"), Given(NAT, {}, "b")
    (message,) = Judges(stack="prod").judge("nat-per-zone-in-prod", one)
    assert message.startswith(f"{NAT} a: subnetId: is the only NAT gateway")
    assert Judges(stack="prod").judge("nat-per-zone-in-prod", one, two) == []
    assert Judges(stack="dev").judge("nat-per-zone-in-prod", one) == []


TAGGED = deployment("legacy-1").having("spec.template.spec.containers.0.image", "x:1")
EXCEPTION = {"policy": "image-by-digest", "resource": "legacy-*", "reason": "goes with the move in March"}


def excepting(*exceptions: Object) -> Judges:
    return Judges({"policies": {"exceptions": list(exceptions)}})


def test_an_exception_lets_a_resource_of_its_name_pass() -> None:
    judges = excepting(EXCEPTION)
    assert judges.judge("image-by-digest", TAGGED) == []
    assert judges.judge("exceptions") == []


def test_an_exception_is_of_one_policy_and_of_one_name() -> None:
    judges = excepting(EXCEPTION)
    assert len(judges.judge("probes", TAGGED.having("spec.template.spec.containers.0.livenessProbe", None))) == 1
    other = Given(TAGGED.type, TAGGED.properties, "new")
    assert len(judges.judge("image-by-digest", other)) == 1


def test_an_exception_of_network_policies_names_the_namespace() -> None:
    judges = excepting({"policy": "network-policy", "resource": "models", "reason": "its CNI has policies of its own"})
    assert judges.judge("network-policy", deployment("a"), deployment("b")) == []
    assert len(judges.judge("network-policy", deployment("a", namespace="others"))) == 1


def test_an_exception_that_lets_nothing_pass_is_told() -> None:
    judges = excepting(EXCEPTION)
    assert judges.judge("image-by-digest", deployment("legacy-1")) == []
    (message,) = judges.judge("exceptions")
    assert message.startswith("modelstack:policies.exceptions[0].resource: 'legacy-*' lets nothing of image-by-digest")


def test_an_exception_of_no_policy_is_told_with_the_one_that_is_meant() -> None:
    (message,) = excepting({**EXCEPTION, "policy": "images-by-digest"}).judge("exceptions")
    assert "exceptions[0].policy: 'images-by-digest' is no policy; correct it; did you mean image-by-digest" in message


def test_exceptions_that_cannot_be_read_let_nothing_pass(capsys: pytest.CaptureFixture[str]) -> None:
    judges = excepting({"policy": "image-by-digest", "resource": "*"})
    assert len(judges.judge("image-by-digest", TAGGED)) == 1
    assert "modelstack:policies.exceptions.0.reason: field required; correct it" in capsys.readouterr().err


def test_the_environment_of_the_settings_goes_before_the_stacks_name() -> None:
    held = Given("aws:kms/key:Key", {})
    assert len(Judges({"environment": "prod"}, "blue").judge("protect-stateful", held)) == 1
    assert Judges({"environment": "staging"}, "prod").judge("protect-stateful", held) == []


def test_a_stack_that_says_it_is_something_unknown_is_judged_as_prod(capsys: pytest.CaptureFixture[str]) -> None:
    held = Given("aws:kms/key:Key", {})
    assert len(Judges({"environment": "production"}, "dev").judge("protect-stateful", held)) == 1
    assert "modelstack:environment: 'production' is none of dev, test, staging, prod" in capsys.readouterr().err
