"""What a stack in AWS keeps, and what of ECR is the account's: each promise of docs/aws-keeping.md, by resource."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest

from tests.components.aws_whole import LOGIN
from tests.components.conftest import Program
from tests.components.programs import Object, Run
from tests.components.test_aws import ACCOUNT, REGION, config, only

TRAIL = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/modelstack-prod"
HUB = {"registry": "registry-1.docker.io"}
MARK = {"modelstack.dev/backup": "modelstack-prod"}


def asked(program: Program, **aws: Any) -> Run:
    return program(config(aws), stack="prod")


def test_nothing_of_it_is_made_unless_it_is_asked_for(program: Program) -> None:
    kinds = ("aws:cloudtrail/", "aws:backup/", "aws:s3/", "aws:ecr/registry", "aws:ecr/pull", "aws:ecr/replication")
    assert not [one.type for one in asked(program).made if one.type.startswith(kinds)]


def test_the_trail_is_of_every_region_and_its_files_are_signed_and_encrypted(program: Program) -> None:
    trail = only(asked(program, audit={}).of("Trail"))
    assert trail["isMultiRegionTrail"]
    assert trail["includeGlobalServiceEvents"]
    assert trail["enableLogFileValidation"]
    assert trail["kmsKeyId"] == "arn:aws:test:::Key/audit"


def test_only_this_trail_writes_to_its_bucket_and_uses_its_key(program: Program) -> None:
    run = asked(program, audit={})
    allowed = [one for one in statements(run.of("BucketPolicy")["audit"]) if one["Effect"] == "Allow"]
    assert {one["Action"] for one in allowed} == {"s3:GetBucketAcl", "s3:PutObject"}
    assert all(one["Condition"] == {"StringEquals": {"aws:SourceArn": TRAIL}} for one in allowed)
    by_service = [one for one in statements(run.of("Key")["audit"]) if "Service" in one["Principal"]]
    assert {one["Action"] for one in by_service} == {"kms:GenerateDataKey*", "kms:DescribeKey"}
    assert all(one["Condition"]["StringEquals"] == {"aws:SourceArn": TRAIL} for one in by_service)


def statements(inputs: Object) -> list[Object]:
    found: list[Object] = json.loads(inputs["policy"])["Statement"]
    return found


def test_a_line_of_the_trail_is_kept_as_long_as_the_settings_say(program: Program) -> None:
    (rule,) = only(asked(program, audit={"days": 731}).of("BucketLifecycleConfiguration"))["rules"]
    assert (rule["status"], rule["expiration"]) == ("Enabled", {"days": 731})
    assert rule["noncurrentVersionExpiration"] == {"noncurrentDays": 731}


def test_the_trail_waits_until_its_bucket_takes_it(program: Program) -> None:
    run = asked(program, audit={})
    (trail,) = [urn for urn in run.after if urn.endswith(":Trail::audit")]
    assert [urn for urn in run.waits_for(trail) if urn.endswith(":BucketPolicy::audit")]


def test_copies_are_made_daily_of_what_is_marked_and_kept_under_a_key(program: Program) -> None:
    run = asked(program, backup={})
    (rule,) = only(run.of("Plan"))["rules"]
    assert (rule["schedule"], rule["lifecycle"]) == ("cron(0 3 * * ? *)", {"deleteAfter": 35})
    assert rule["targetVaultName"] == "backup"
    assert only(run.of("Vault"))["kmsKeyArn"] == "arn:aws:test:::Key/backup"
    (tag,) = only(run.of("Selection"))["selectionTags"]
    assert ({tag["key"]: tag["value"]}, tag["type"]) == (MARK, "STRINGEQUALS")


def test_volumes_and_the_trails_bucket_are_marked(program: Program) -> None:
    run = asked(program, backup={}, audit={})
    assert only({one.name: one.inputs for one in run.made if one.type == "aws:s3/bucket:Bucket"})["tags"] == MARK
    volumes = only(run.of("StorageClass"))
    assert volumes["provisioner"] == "ebs.csi.aws.com"
    assert volumes["parameters"]["tagSpecification_1"] == "modelstack.dev/backup=modelstack-prod"
    assert volumes["parameters"]["encrypted"] == "true"


def test_nothing_is_marked_that_nothing_copies(program: Program) -> None:
    run = asked(program, audit={})
    assert "tags" not in next(one.inputs for one in run.made if one.type == "aws:s3/bucket:Bucket")
    assert run.of("StorageClass") == {}


def test_a_vault_that_stayed_is_not_in_the_way_of_the_next(program: Program) -> None:
    assert "name" not in only(asked(program, backup={}).of("Vault"))


@pytest.mark.parametrize("lock", ["governance", "compliance"])
def test_no_lock_is_in_the_way_of_other_days(program: Program, lock: str) -> None:
    run = asked(program, backup={"lock": lock})
    held = {
        one.type.rpartition(":")[2] for one in run.made if one.type.startswith("aws:backup/") and run.is_protected(one)
    }
    assert held == {"Vault"}


@pytest.mark.parametrize(("lock", "expected"), [("none", []), ("governance", [None]), ("compliance", [3])])
def test_a_lock_lets_no_copy_go_early(program: Program, lock: str, expected: list[int | None]) -> None:
    locks = asked(program, backup={"lock": lock, "days": 90}).of("VaultLockConfiguration").values()
    assert [one.get("changeableForDays") for one in locks] == expected
    assert all(one["minRetentionDays"] == 90 for one in locks)


def test_the_role_that_copies_may_copy_and_restores_nothing(program: Program) -> None:
    run = asked(program, backup={})
    attached = {
        one["policyArn"].rpartition("/")[2] for name, one in run.of("RolePolicyAttachment").items() if "backup" in name
    }
    assert attached == {"AWSBackupServiceRolePolicyForBackup", "AWSBackupServiceRolePolicyForS3Backup"}
    (trust,) = json.loads(run.of("Role")["backup"]["assumeRolePolicy"])["Statement"]
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def test_images_are_scanned_again_when_a_flaw_becomes_known(program: Program) -> None:
    made = only(asked(program, ecr={"scanning": "enhanced"}).of("RegistryScanningConfiguration"))
    assert made["scanType"] == "ENHANCED"
    own = made["rules"][0]
    assert own["scanFrequency"] == "CONTINUOUS_SCAN"
    assert own["repositoryFilters"] == [{"filter": "modelstack-prod/*", "filterType": "WILDCARD"}]


def test_other_repositories_of_the_account_go_on_being_scanned_when_they_are_pushed_to(program: Program) -> None:
    _, others = only(asked(program, ecr={"scanning": "enhanced"}).of("RegistryScanningConfiguration"))["rules"]
    assert others["scanFrequency"] == "SCAN_ON_PUSH"
    assert others["repositoryFilters"] == [{"filter": "*", "filterType": "WILDCARD"}]


def test_other_regions_get_every_image_under_the_same_rules(program: Program) -> None:
    run = asked(program, ecr={"replicateTo": ["eu-west-1", "us-east-1"]})
    (rule,) = only(run.of("ReplicationConfiguration"))["replicationConfiguration"]["rules"]
    assert rule["destinations"] == [{"region": one, "registryId": ACCOUNT} for one in ("eu-west-1", "us-east-1")]
    assert rule["repositoryFilters"] == [{"filter": "modelstack-prod/", "filterType": "PREFIX_MATCH"}]
    own = next(one for one in run.of("Repository").values() if "imageTagMutability" in one)
    for there in run.of("RepositoryCreationTemplate").values():
        assert there["appliedFors"] == ["REPLICATION"]
        assert there["imageTagMutability"] == own["imageTagMutability"]
        assert there["imageTagMutabilityExclusionFilters"] == own["imageTagMutabilityExclusionFilters"]
        assert there["lifecyclePolicy"] == next(iter(run.of("LifecyclePolicy").values()))["policy"]
    assert {one["region"] for one in run.of("RepositoryCreationTemplate").values()} == {"eu-west-1", "us-east-1"}


def test_nodes_may_fill_the_cache_of_other_registries_and_no_more(program: Program) -> None:
    run = asked(program, ecr={"pullThrough": {"quay": {"registry": "quay.io"}}})
    rule = only(run.of("PullThroughCacheRule"))
    assert (rule["ecrRepositoryPrefix"], rule["upstreamRegistryUrl"]) == ("quay", "quay.io")
    (allowed,) = statements(run.of("RolePolicy")["nodes-pull-through"])
    assert set(allowed["Action"]) == {"ecr:CreateRepository", "ecr:BatchImportUpstreamImage"}
    assert allowed["Resource"] == [f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/quay/*"]


@pytest.mark.parametrize(
    ("aws", "others", "message"),
    [
        ({"ecr": {"replicateTo": [REGION]}}, {}, f"ecr.replicateTo: {REGION} is the region itself"),
        (
            {"ecr": {"pullThrough": {"hub": {"registry": "registry-1.docker.io"}}}},
            {},
            "registry-1.docker.io answers nobody without a login; add `secret`",
        ),
        (
            {"ecr": {"pullThrough": {"azure": {"registry": "example.azurecr.io"}}}},
            {},
            "example.azurecr.io answers nobody without a login; add `secret`",
        ),
        ({"ecr": {"pullThrough": {"chain": {"registry": "cgr.dev"}}}}, {}, "cgr.dev answers nobody without a login"),
        ({"ecr": {"pullThrough": {"q": {"registry": "quay.io"}}}}, {}, "should have at least 2 characters"),
        ({"ecr": {"pullThrough": {"q" * 31: {"registry": "quay.io"}}}}, {}, "should have at most 30 characters"),
        (
            {"ecr": {"pullThrough": {"hub": {**HUB, "secret": LOGIN.replace(REGION, "eu-west-1")}}}},
            {},
            f"is of another region or account than {REGION} and {ACCOUNT}",
        ),
        (
            {"ecr": {"pullThrough": {"hub": {**HUB, "secret": LOGIN.replace(ACCOUNT, "210987654321")}}}},
            {},
            f"is of another region or account than {REGION} and {ACCOUNT}",
        ),
        (
            {"ecr": {"pullThrough": {"hub": {**HUB, "secret": LOGIN.replace("ecr-pullthroughcache", "other")}}}},
            {},
            "string should match pattern",
        ),
        ({"podLogs": {}, "addons": {"vpc-cni": "v1"}}, {}, "podLogs: its role is told to pods by eks-pod-identity"),
        (
            {"ecr": {"scanning": "enhanced"}},
            {"registry": {"push": "registry.example.com"}},
            "scanning and replicateTo are of the stack's repositories, and registry.push names registry.example.com",
        ),
        ({"audit": {"days": 7}}, {}, "aws.audit.days: 7: input should be"),
        ({"backup": {"schedule": "rate(1 day)"}}, {}, "aws.backup.schedule: 'rate(1 day)': string should match"),
        ({"backup": {"schedule": "daily"}}, {}, "aws.backup.schedule: 'daily': string should match"),
        ({"backup": {"days": 0}}, {}, "aws.backup.days: 0: input should be greater than or equal to 1"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(program: Program, aws: Object, others: Object, message: str) -> None:
    with pytest.raises(pulumi.RunError) as caught:
        program(config(aws, **others), stack="prod")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
