"""A stack in AWS with everything that settings may ask for: types, policies, and what moto takes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from pulumi import _types as sdk

from policy.pack import RULES
from tests.components.aws_whole import AGENT, PUBLIC, WholeAccount, whole
from tests.components.programs import Object, Run, stack_in
from tests.components.test_aws import ACCOUNT, statements
from tests.components.test_aws_contract import NOT_EMULATED, emulation
from tests.components.test_aws_types import _of_mapping, declared
from tests.policy.judging import Given, Judges

# What moto knows nothing of, beside what it lacks of the ground.
LACKING = {
    "aws:backup/selection:Selection",
    "aws:cloudfront/cachePolicy:CachePolicy",
    "aws:ecr/pullThroughCacheRule:PullThroughCacheRule",
    "aws:eks/podIdentityAssociation:PodIdentityAssociation",
    "aws:ecr/repositoryCreationTemplate:RepositoryCreationTemplate",
}
SERVICES_DO = {"s3:PutObject", "s3:GetBucketAcl", "kms:GenerateDataKey*", "kms:DescribeKey"}
MANDATORY = [one.name for one in RULES if one.level == "mandatory"]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return stack_in(tmp_path_factory.mktemp("data"), whole(), stack="prod")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[WholeAccount]:
    with emulation(monkeypatch):
        yield WholeAccount()


def test_every_input_is_of_the_type_that_the_provider_declares(run: Run) -> None:
    made = [one for one in run.made if one.type.startswith("aws:")]
    assert len(made) > 100
    found = [fault for one in made for fault in _of_mapping(one.name, one.inputs, sdk.input_type_types(declared(one)))]
    assert found == []


def test_every_input_is_taken_as_aws_takes_it(run: Run, account: WholeAccount) -> None:
    made = [one for one in run.made if one.type.startswith("aws:") and one.type not in NOT_EMULATED | LACKING]
    for one in made:
        account.make(one)
    (balancer,) = account.elbv2.describe_load_balancers()["LoadBalancers"]
    assert balancer["Scheme"] == "internet-facing"
    assert account.cloudtrail.describe_trails()["trailList"][0]["LogFileValidationEnabled"]
    vault = account.backup.describe_backup_vault(BackupVaultName="backup")
    assert (vault["Locked"], vault["MinRetentionDays"]) == (True, 35)
    (acl,) = account.wafv2.list_web_acls(Scope="REGIONAL")["WebACLs"]
    guarded = account.wafv2.get_web_acl_for_resource(ResourceArn=balancer["LoadBalancerArn"])
    assert guarded["WebACL"]["ARN"] == acl["ARN"]


def test_no_role_may_do_everything(run: Run) -> None:
    attached = [one["policyArn"] for one in run.of("RolePolicyAttachment").values()]
    assert not [one for one in attached if "FullAccess" in one or one.endswith("/AdministratorAccess")]
    for one in statements(run):
        assert not [action for action in listed(one["Action"]) if "*" in action]
        assert "*" not in listed(one["Resource"])


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_no_key_and_no_bucket_lets_in_others_than_the_account_and_the_services_that_write(run: Run) -> None:
    policies = {name: one["policy"] for name, one in run.of("Key").items() if "policy" in one}
    policies |= {f"bucket {name}": one["policy"] for name, one in run.of("BucketPolicy").items()}
    assert {"audit", "bucket audit", "bucket front-door-logs", "bucket pod-logs"} <= set(policies)
    for text in policies.values():
        for one in (each for each in json.loads(text)["Statement"] if each["Effect"] == "Allow"):
            # The account alone changes a key's policy; services do what they are named for.
            if one["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}:
                continue
            assert set(one["Principal"]) == {"Service"}
            assert set(listed(one["Action"])) <= SERVICES_DO


def told(run: Run, stack: str, *exceptions: Object) -> dict[str, set[str]]:
    """Return policy → what of the stack it refuses."""
    judges = Judges(whole(policies={"exceptions": list(exceptions)}), stack)
    given = [Given(one.type, one.inputs, one.name, protect=run.is_protected(one)) for one in run.made]
    of_one = {name: judges.judge(name, *given) for name in MANDATORY}
    return {name: {message.split(": ")[0] for message in said} for name, said in of_one.items() if said}


def test_it_keeps_every_policy_but_where_a_reason_must_be_written(run: Run) -> None:
    assert told(run, "staging") == {
        "no-public-endpoint": {
            "aws:lb/loadBalancer:LoadBalancer front-door",
            "aws:ec2/securityGroup:SecurityGroup front-door",
            "aws:eks/cluster:Cluster eks",
            "aws:cloudfront/distribution:Distribution front-door-cdn",
        },
        "pod-security-restricted": {"kubernetes:apps/v1:DaemonSet fluent-bit"},
    }


def test_with_the_reasons_a_closed_api_server_alone_is_left_to_ask_for(run: Run) -> None:
    assert told(run, "staging", PUBLIC, AGENT) == {"no-public-endpoint": {"aws:eks/cluster:Cluster eks"}}


def test_what_holds_data_is_protected_in_prod(run: Run) -> None:
    assert "protect-stateful" not in told(run, "prod")


def test_every_bucket_is_encrypted_versioned_closed_and_reached_by_tls_alone(run: Run) -> None:
    made = {one.name for one in run.made if one.type == "aws:s3/bucket:Bucket"}
    assert made == {"audit", "front-door-logs", "pod-logs"}
    versions = run.of("BucketVersioning")
    assert {name for name, one in versions.items() if one["versioningConfiguration"]["status"] == "Enabled"} == made
    blocks = run.of("BucketPublicAccessBlock")
    keys = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    assert {name for name, one in blocks.items() if all(one[key] for key in keys)} == made
    for name in made:
        statements = json.loads(run.of("BucketPolicy")[name]["policy"])["Statement"]
        denied = [one for one in statements if one["Effect"] == "Deny"]
        assert [one["Condition"] for one in denied] == [{"Bool": {"aws:SecureTransport": "false"}}]
        assert all("Condition" in one or ACCOUNT in one["Resource"] for one in statements)


def test_a_bucket_is_under_a_key_where_its_writer_can_use_one(run: Run) -> None:
    rules = {name: one["rules"][0] for name, one in run.of("BucketServerSideEncryptionConfiguration").items()}
    default = {name: one["applyServerSideEncryptionByDefault"] for name, one in rules.items()}
    assert default["audit"] == {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": "arn:aws:test:::Key/audit"}
    # Application load balancers write under no key of KMS.
    assert default["front-door-logs"] == {"sseAlgorithm": "AES256"}
    assert default["pod-logs"] == {"sseAlgorithm": "AES256"}
